package once

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestWhatComesAgainIsSeen(t *testing.T) {
	m := New(8)
	for _, step := range []struct {
		address, origin string
		number          uint64
		seen            bool
	}{
		{"a", "x", 1, false},
		{"a", "x", 1, true},
		{"a", "x", 3, false}, // numbers rise, with gaps: others went elsewhere
		{"a", "x", 2, true},
		{"a", "y", 2, false}, // another origin
		{"b", "x", 2, false}, // another listener
		{"a", "x", 4, false},
		{"a", "x", 3, true},
	} {
		if got := m.Seen("from", step.address, []byte(step.origin), step.number); got != step.seen {
			t.Errorf("%v: seen is %t", step, got)
		}
	}
	if m.Len() != 3 {
		t.Errorf("%d pairs are kept", m.Len())
	}
}

// A conversation that is known takes numbers until another one is asked for.
func TestConversation(t *testing.T) {
	m := New(1)
	for _, name := range []string{"a", "b", "a"} { // each forgets the one before
		in := m.Conversation("from", name, []byte("x"))
		for _, step := range []struct {
			number uint64
			seen   bool
		}{{2, false}, {2, true}, {0, false}, {1, true}, {3, false}} {
			if got := m.SeenIn(in, step.number); got != step.seen {
				t.Errorf("%s %d: seen is %t", name, step.number, got)
			}
		}
		if !m.Seen("from", name, []byte("x"), 3) {
			t.Errorf("%s: what was taken is not known", name)
		}
	}
	in := m.Conversation("from", "a", nil)
	for range 2 {
		if m.SeenIn(in, 1) {
			t.Error("without a key something was seen")
		}
	}
}

// Numbers are taken together if all of them are new.
func TestTakeIn(t *testing.T) {
	m := New(2)
	in := m.Conversation("from", "a", []byte("x"))
	for _, step := range []struct {
		first, last uint64
		taken       bool
	}{{1, 4, true}, {4, 9, false}, {5, 5, true}, {9, 8, false}, {0, 9, false}, {9, 12, true}, {6, 8, false}} {
		if got := m.TakeIn(in, step.first, step.last); got != step.taken {
			t.Errorf("from %d to %d: %t", step.first, step.last, got)
		}
	}
	if !m.SeenIn(in, 12) || m.SeenIn(in, 13) {
		t.Error("the last one is not the mark")
	}
	if m.TakeIn(m.Conversation("from", "a", nil), 1, 2) {
		t.Error("without a key something was marked")
	}
}

func TestWithoutAKeyAllIsNew(t *testing.T) {
	m := New(8)
	for _, key := range []struct {
		origin string
		number uint64
	}{{"", 1}, {"x", 0}, {strings.Repeat("x", MaxOrigin+1), 1}} {
		for range 2 {
			if m.Seen("from", "a", []byte(key.origin), key.number) {
				t.Errorf("%v was seen", key)
			}
		}
	}
	if m.Len() != 0 {
		t.Errorf("%d pairs are kept", m.Len())
	}
}

func TestAnAddressIsNotMixedUpWithAnOrigin(t *testing.T) {
	m := New(8)
	if m.Seen("from", "bc", []byte("a"), 1) || m.Seen("from", "c", []byte("ab"), 1) ||
		m.Seen("fro", "mc", []byte("ab"), 1) || m.Seen(strings.Repeat("x", 0x80), "", []byte("ab"), 1) {
		t.Error("two pairs were taken for one")
	}
	if !m.Seen(strings.Repeat("x", 0x80), "", []byte("ab"), 1) {
		t.Error("a long name is not known")
	}
}

func TestTheOldestPairGoesFirst(t *testing.T) {
	m := New(2)
	for _, step := range []struct {
		origin string
		seen   bool
	}{{"x", false}, {"y", false}, {"x", true}, {"z", false}, {"x", true}, {"y", false}, {"z", false}} {
		if got := m.Seen("from", "a", []byte(step.origin), 1); got != step.seen {
			t.Errorf("%v: seen is %t", step, got)
		}
	}
}

// The model keeps pairs in a slice, newest first. A byte is a step: two bits of
// address, two of origin, the rest is the number.
func FuzzMarks(f *testing.F) {
	f.Add(3, []byte("the same again, and the same again; and another one"))
	random := rand.New(rand.NewPCG(1, 2))
	for limit := range 12 {
		steps := make([]byte, 500)
		for i := range steps {
			steps[i] = byte(random.Uint32())
		}
		f.Add(limit, steps)
	}
	f.Fuzz(func(t *testing.T, limit int, steps []byte) {
		m, model := New(limit), []pair(nil)
		for _, step := range steps {
			p := pair{address: "abcd"[:step&3+1], origin: "bacd"[:step>>2&3+1], number: uint64(step>>4) + 1}
			var seen bool
			model, seen = p.enter(model, max(limit, 1))
			if got := m.Seen("from", p.address, []byte(p.origin), p.number); got != seen {
				t.Fatalf("%v: seen is %t", p, got)
			}
			if m.Len() != len(model) {
				t.Fatalf("%d pairs are kept, not %d", m.Len(), len(model))
			}
		}
	})
}

type pair struct {
	address, origin string
	number          uint64
}

func (p pair) enter(model []pair, limit int) (_ []pair, seen bool) {
	i := slices.IndexFunc(model, func(q pair) bool { return q.address == p.address && q.origin == p.origin })
	if i >= 0 {
		seen = p.number <= model[i].number
		p.number = max(p.number, model[i].number)
		model = slices.Delete(model, i, i+1)
	}
	model = append([]pair{p}, model...)
	return model[:min(len(model), limit)], seen
}

func TestAHitAllocatesNothing(t *testing.T) {
	m, origin, number := New(8), []byte("0123456789abcdef"), uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		number++
		m.Seen("from", "hyperty://example.org/1", origin, number)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSeen(b *testing.B) {
	m, origin := New(65536), []byte("0123456789abcdef")
	addresses := make([]string, 1024)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("hyperty://example.org/%036d", i)
	}
	b.ReportAllocs()
	for i := range b.N {
		m.Seen("from", addresses[i%len(addresses)], origin, uint64(i)+1)
	}
}

func TestForget(t *testing.T) {
	m := New(8)
	origin := []byte("x")
	m.Seen("from", "a", origin, 3)
	if !m.Forget("from", "a", origin, 3) || m.Seen("from", "a", origin, 3) {
		t.Error("what was taken back is not new")
	}
	m.Seen("from", "a", origin, 4)
	if m.Forget("from", "a", origin, 3) || !m.Seen("from", "a", origin, 3) {
		t.Error("behind a later one a mark was taken back")
	}
	if m.Forget("from", "b", origin, 3) || m.Forget("from", "a", nil, 4) || m.Forget("from", "a", origin, 0) {
		t.Error("what is not there was taken back")
	}
}
