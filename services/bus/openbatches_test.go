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
