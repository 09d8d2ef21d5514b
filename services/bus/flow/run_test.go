package flow

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// both are two receivers that are told the same: one in runs where it takes them, the other
// message by message.
type both struct {
	runs, singles *Receiver
	now           time.Time
	given         []uint64 // handed over, and not dealt with
	last          uint64   // sequence that has come
	base          uint64
	taken         int // runs
}

func newBoth(l Limits) *both {
	return &both{runs: NewReceiver(7, l), singles: NewReceiver(7, l), now: time.Unix(1000, 0), base: 1}
}

// receive has n messages come, of which the first is at a place.
func (b *both) receive(t *rapid.T, p Place, sizes []int) {
	var want []uint64
	for i := range sizes {
		at := Place{Sequence: p.Sequence + uint64(i), Base: p.Base} // small
		if i == 0 {
			at.After = p.After
		}
		turn, _ := b.singles.Receive(b.now, at, sizes[i], "message")
		for _, d := range turn {
			want = append(want, d.Sequence)
		}
	}
	var got []uint64
	sum := 0
	for _, size := range sizes {
		sum += max(size, overhead)
	}
	if b.runs.Takes(p, len(sizes), sum) {
		b.taken++
		b.runs.ReceiveRun(b.now, p, sizes)
		for i := range sizes {
			got = append(got, p.Sequence+uint64(i)) // small
		}
	} else {
		for i := range sizes {
			at := Place{Sequence: p.Sequence + uint64(i), Base: p.Base} // small
			if i == 0 {
				at.After = p.After
			}
			turn, _ := b.runs.Receive(b.now, at, sizes[i], "message")
			for _, d := range turn {
				got = append(got, d.Sequence)
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("of %+v %v were handed over, want %v", p, got, want)
	}
	b.given = append(b.given, got...)
	b.last = max(b.last, p.Sequence+uint64(len(sizes))-1)
}

// deal has some of those that were handed over dealt with, which need not follow each other.
func (b *both) deal(from, n int) {
	some := b.given[from : from+n]
	b.given = append(b.given[:from:from], b.given[from+n:]...)
	for _, sequence := range some {
		b.singles.Dealt(b.now, sequence, 0, "")
	}
	for len(some) > 0 { // what follows each other
		n := 1
		for n < len(some) && some[n] == some[n-1]+1 {
			n++
		}
		b.runs.DealtRun(b.now, some[0], some[n-1])
		some = some[n:]
	}
}

func (b *both) same(t *rapid.T) {
	state := func(r *Receiver) string {
		at, due := r.AckDue()
		var kept []string
		for pos := r.given.kept.next(0); pos >= 0; pos = r.given.kept.next(pos + 1) {
			kept = append(kept, fmt.Sprint(r.given.slots[pos], r.given.marks[refused].has(pos)))
		}
		return fmt.Sprint(r.base, r.expected, r.ahead.bytes, len(r.ahead.stretches), r.Backlog(), r.Idle(), at, due, r.say, kept)
	}
	if one, other := state(b.runs), state(b.singles); one != other {
		t.Fatalf("in runs    %s\none by one %s", one, other)
	}
}

// Whether messages are received and dealt with in runs cannot be seen.
func TestRunsAreLikeSingles(t *testing.T) {
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		b := newBoth(Limits{Bytes: 20_000, Ahead: 8000, Ranges: 4, AckBytes: 3000, AckDelay: 10 * time.Millisecond})
		t.Repeat(map[string]func(*rapid.T){
			"": b.same,
			"receive": func(t *rapid.T) {
				p := Place{Sequence: b.last + 1, Base: b.base}
				switch rapid.IntRange(0, 7).Draw(t, "how") {
				case 0:
					p.Sequence += rapid.Uint64Range(1, 4).Draw(t, "gap")
				case 1:
					p.Sequence -= min(b.last, rapid.Uint64Range(1, 9).Draw(t, "again"))
				case 2:
					p.Sequence += 3
					p.After = p.Sequence - rapid.Uint64Range(1, min(p.Sequence, 9)).Draw(t, "after")
				case 3:
					p.Base = rapid.Uint64Range(1, b.last+9).Draw(t, "base")
					b.base = max(b.base, p.Base)
				}
				b.receive(t, p, rapid.SliceOfN(rapid.IntRange(0, 900), 1, 20).Draw(t, "sizes"))
			},
			"deal": func(t *rapid.T) {
				if len(b.given) > 0 {
					from := rapid.IntRange(0, len(b.given)-1).Draw(t, "from")
					b.deal(from, rapid.IntRange(1, len(b.given)-from).Draw(t, "n"))
				}
			},
			"refuse": func(t *rapid.T) {
				if len(b.given) > 0 {
					i := rapid.IntRange(0, len(b.given)-1).Draw(t, "which")
					for _, r := range []*Receiver{b.runs, b.singles} {
						r.Dealt(b.now, b.given[i], 503, "refused")
					}
					if rapid.Bool().Draw(t, "once more") { // it is dealt with after all
						b.deal(i, 1)
					} else {
						b.given = append(b.given[:i:i], b.given[i+1:]...)
					}
				}
			},
			"say": func(t *rapid.T) {
				b.now = b.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "ms")) * time.Millisecond)
				if one, other := b.runs.Ack(b.now).String(), b.singles.Ack(b.now).String(); one != other {
					t.Fatalf("in runs    %s\none by one %s", one, other)
				}
			},
		})
		taken += b.taken
	})
	if taken == 0 {
		t.Error("no run was taken")
	}
}

// What is no run's is not taken, and changes nothing.
func TestWhatARunIsNot(t *testing.T) {
	l := Limits{Bytes: 10_000}
	for name, p := range map[string]Place{
		"no sequence":     {Base: 1},
		"one beyond all":  {Sequence: highest + 1, Base: 1},
		"an end beyond":   {Sequence: highest - 2, Base: highest - 2},
		"a gap":           {Sequence: 6, Base: 1},
		"what has come":   {Sequence: 4, Base: 1},
		"a base above it": {Sequence: 5, Base: 6},
	} {
		r := NewReceiver(7, l)
		r.ReceiveRun(time.Unix(1, 0), Place{Sequence: 1, Base: 1}, make([]int, 4))
		if r.Takes(p, 4, 4*overhead) {
			t.Errorf("%s: it is taken", name)
		}
		if r.Takes(Place{Sequence: 5, Base: 1}, 40, 40*overhead) || r.Takes(Place{Sequence: 5, Base: 1}, 0, 0) {
			t.Error("more than there is room for is taken, or nothing")
		}
		if !r.Takes(Place{Sequence: 5, Base: 3}, 4, 4*overhead) || !r.Takes(Place{Sequence: 9, Base: 3, After: 4}, 4, 4*overhead) {
			t.Error("what is next is not taken")
		}
	}
}
