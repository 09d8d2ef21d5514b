package bus

import (
	"math"
	"testing"
	"testing/synctest"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// A batch that ends with the highest number there is ends as any other does.
func TestABatchWithTheHighestNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCouple(t, Limits{}, 50_000, true)
		defer c.end()
		c.posted = math.MaxUint64 - 8
		c.post(8, false)
		if got := c.took(); len(got) != 8 {
			t.Fatalf("%v came", got)
		}
		c.listener.credit(&pb.Credit{Listener: carol, Bytes: 1 << 20})
		if n := len(c.sender.origin.batches); n != 0 {
			t.Errorf("%d batches are left", n)
		}
	})
}

// Parts may be told out of turn: what the listener has dealt with is settled beside the end
// of the listener, by which the rest becomes posts.
func TestPartsAreRemovedOutOfTurn(t *testing.T) {
	b := &batch{first: 1, places: make([]placed, 8)}
	var o openBatches
	o.add(b.all())
	o.remove(part{b, 3, 6})
	o.remove(part{b, 0, 3})
	for number := range uint64(10) {
		if open := o.get(number) != nil; open != (number == 7 || number == 8) {
			t.Errorf("%d is open: %v", number, open)
		}
	}
	o.remove(part{b, 6, 8})
	if len(o) != 0 {
		t.Errorf("%v is left", o)
	}
}
