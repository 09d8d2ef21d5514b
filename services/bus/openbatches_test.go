package bus

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// A batch that ends with the highest number there is ends as any other does.
func TestABatchWithTheHighestNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCouple(t, Limits{}, 50_000, true, true)
		defer c.end()
		c.posted = math.MaxUint64 - 8
		c.post(8, false)
		if got := c.took(); len(got) != 8 {
			t.Fatalf("%v came", got)
		}
		c.listener.credit(&pb.Credit{Listener: carol, Bytes: 1 << 20})
		if n := len(c.sender.origin.batches.places); n != 0 {
			t.Errorf("%d batches are left", n)
		}
	})
}

// Parts may be told out of turn: what the listener has dealt with is settled beside the end
// of the listener, by which the rest becomes posts; in another runtime one of them may be
// refused. They may be told twice, on the streams of a client that has come again.
func TestPartsAreRemovedOutOfTurn(t *testing.T) {
	before, b, after := &batch{first: 1, places: make([]placed, 4)}, &batch{first: 5, places: make([]placed, 8)}, &batch{first: 13, places: make([]placed, 4)}
	var o openBatches
	for _, all := range []*batch{before, b, after} {
		o.add(all.all())
	}
	over := map[uint64]bool{}
	for _, p := range []part{{b, 3, 5}, {b, 6, 7}, {b, 0, 1}, {b, 0, 1}, {b, 5, 6}, {b, 1, 3}, {after, 0, 4}, {b, 1, 3}, {b, 7, 8}, {b, 7, 8}, {before, 1, 4}} {
		o.remove(p)
		for number := p.first(); number <= p.last(); number++ {
			over[number] = true
		}
		for number := range uint64(20) {
			if open := o.get(number) != nil; open != (number >= 1 && number <= 16 && !over[number]) {
				t.Errorf("after %d to %d, %d is open: %v", p.first(), p.last(), number, open)
			}
		}
	}
	if o.remove(part{before, 0, 1}); !o.empty() {
		t.Errorf("%v is left", o)
	}
}

// Beside a map: batches of which parts are removed in any order, and none of whose numbers
// come again. However they are removed, there are no more holes than batches that are left.
func TestOpenBatches(t *testing.T) {
	var o openBatches
	want := map[uint64]*batch{}
	var open []part
	last := uint64(0)
	for range 20_000 {
		switch {
		case rand.IntN(3) == 0 || len(open) == 0:
			b := &batch{first: last + 1 + rand.Uint64N(3), places: make([]placed, 1+rand.IntN(9))}
			o.add(b.all())
			for number := b.first; number <= b.all().last(); number++ {
				want[number] = b
			}
			last = b.all().last()
			open = append(open, b.all())
		default:
			i := rand.IntN(len(open))
			if rand.IntN(2) == 0 {
				i = 0 // the first are mostly the first to go
			}
			p := open[i].cut(1 + rand.IntN(open[i].len()))
			if open[i].len() == 0 {
				open = slices.Delete(open, i, i+1)
			}
			o.remove(p)
			for number := p.first(); number <= p.last(); number++ {
				delete(want, number)
			}
		}
		if number := last + 2 - rand.Uint64N(min(last+2, 60)); o.get(number) != want[number] {
			t.Fatalf("of %d there is %v, want %v", number, o.get(number), want[number])
		}
		if o.holes > len(o.places)/2 {
			t.Fatalf("%d of %d are holes", o.holes, len(o.places))
		}
	}
	for _, p := range open {
		o.remove(p)
	}
	if !o.empty() || o.holes != 0 || o.get(last) != nil || !o.below(last+1) {
		t.Errorf("%v is left", o)
	}
}
