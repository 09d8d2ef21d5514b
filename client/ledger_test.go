package client

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

func entryTo(to string) *entry { return newEntry(&pb.Post{Message: &pb.Message{To: to}}) }

// model is a ledger that keeps, as plain lists.
type model struct {
	number       uint64
	kept, queued []*entry // not gone; queued is the rest of kept that waits
}

func (m *model) without(list []*entry, over func(*entry) bool) []*entry {
	return slices.DeleteFunc(slices.Clone(list), over)
}

func (m *model) end(over func(*entry) bool) {
	m.kept, m.queued = m.without(m.kept, over), m.without(m.queued, over)
}

// step does one random thing to both, and tells what it was.
func (m *model) step(t *testing.T, l *ledger, r *rand.Rand) string {
	switch n := r.IntN(10); {
	case n < 4:
		e := entryTo([]string{"a", "b", "c"}[r.IntN(3)])
		l.add(e)
		m.number++
		if e.number != m.number {
			t.Errorf("number %d, want %d", e.number, m.number)
		}
		m.kept, m.queued = append(m.kept, e), append(m.queued, e)
		return "add"
	case n < 6:
		want := min(len(m.queued), message.MaxFrames)
		again := map[uint64]bool{}
		for _, e := range m.queued[:want] {
			again[e.number] = e.written
		}
		got := l.take(time.Time{})
		for i, p := range got {
			if i >= want || p.Number != m.queued[i].number || p.Again != again[p.Number] {
				t.Errorf("taken %v", p)
			}
		}
		if len(got) != want {
			t.Errorf("%d taken, want %d", len(got), want)
		}
		m.queued = m.queued[want:]
		return "take"
	case n < 8:
		first := r.Uint64N(m.number + 2)
		last := first + r.Uint64N(8)
		var over []*entry
		for _, e := range m.kept {
			if e.written && e.number >= first && e.number <= last {
				over = append(over, e)
			}
		}
		l.settle(first, last)
		m.end(func(e *entry) bool { return slices.Contains(over, e) })
		return fmt.Sprint("settle ", first, " ", last)
	case n < 9:
		if len(m.kept) == 0 {
			return "nothing"
		}
		e := m.kept[r.IntN(len(m.kept))]
		written := e.written
		if l.drop(e) == written {
			t.Errorf("%d, written %t: drop says %t", e.number, written, !written)
		}
		if !written {
			m.end(func(other *entry) bool { return other == e })
		}
		return "drop"
	default:
		l.rewind()
		m.queued = slices.Clone(m.kept)
		return "rewind"
	}
}

func (m *model) check(t *testing.T, l *ledger, after string) {
	held, queued, receivers := 0, 0, map[string]int{}
	for _, e := range m.kept {
		held += e.size
		receivers[e.to()] += e.size
	}
	for _, e := range m.queued {
		queued += e.size
	}
	if l.held != held || l.queued != queued || len(l.receiver) != len(receivers) {
		t.Fatalf("after %s: %d bytes held, %d queued, for %v; want %d, %d, %v", after, l.held, l.queued, l.receiver, held, queued, receivers)
	}
	if len(l.entries) > 2*len(m.kept)+1 {
		t.Fatalf("after %s: %d places for %d posts", after, len(l.entries), len(m.kept))
	}
}

func TestLedgerIsLikeAModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		l, m := newLedger(true, 1<<20), &model{}
		for range 400 {
			m.check(t, l, m.step(t, l, r))
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

func TestALedgerThatDoesNotKeepForgetsWhatIsTaken(t *testing.T) {
	l := newLedger(false, 1)
	for range 3 {
		for range 100 {
			l.add(entryTo("a"))
		}
		taken := 0
		for frame := l.take(time.Time{}); frame != nil; frame = l.take(time.Time{}) {
			taken += len(frame)
		}
		l.rewind()
		if taken != 100 || l.held != 0 || l.queued != 0 || len(l.entries) != 0 {
			t.Errorf("%d taken, then %+v", taken, l)
		}
	}
}

func TestRoomOfOneReceiver(t *testing.T) {
	size := entryTo("a").size
	for _, tc := range []struct {
		name           string
		retain, outbox int // in posts
		held           string
		to             string
		want           bool
	}{
		{"always one", 0, 0, "", "a", true},
		{"half of it for one", 8, 9, "aaa", "a", true},
		{"and no more", 8, 9, "aaaa", "a", false},
		{"but for another", 8, 9, "aaaa", "b", true},
		{"a third for two", 9, 9, "aaaab", "b", true},
		{"one post for each while there is any", 8, 9, "aaaabbc", "d", true},
		{"then none", 8, 9, "aaaabbcd", "e", false},
		{"not while the outbox is full", 8, 2, "ab", "c", false},
	} {
		l := newLedger(true, tc.retain*size)
		for _, to := range tc.held {
			l.add(entryTo(string(to)))
		}
		if got := l.room(entryTo(tc.to), tc.outbox*size); got != tc.want {
			t.Errorf("%s: room is %t", tc.name, got)
		}
	}
}

// A post at the front that is never settled does not make the rest stay.
func TestAnOldPostHoldsUpNoMemory(t *testing.T) {
	l := newLedger(true, 1<<20)
	for range 20_000 {
		l.add(entryTo("a"))
		l.take(time.Time{})
		if l.number > 1 {
			l.settle(l.number, l.number)
		}
	}
	if len(l.entries) > 4 || cap(l.entries) > sparse {
		t.Errorf("%d places of %d for one post", len(l.entries), cap(l.entries))
	}
}

func BenchmarkLedger(b *testing.B) {
	l := newLedger(true, 16<<20)
	p := &pb.Post{Message: &pb.Message{To: "hyperty://example.org/1"}}
	now := time.Now()
	b.ReportAllocs()
	for i := range b.N {
		l.add(newEntry(p))
		if i%32 == 31 {
			l.take(now)
			l.settle(l.number-31, l.number)
		}
	}
}
