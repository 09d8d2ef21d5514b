package bus

import (
	"testing"
	"testing/synctest"
)

// The source of a batch is asked for again with a text of its own: the frame is gRPC's by
// then.
func TestTheSourceOfABatchIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCouple(t, Limits{}, 50_000, true)
		defer c.end()
		c.bus.ask.began() // there is another stream to the registry
		c.post(8, false)
		q := c.bus.ask.next()
		if len(q.GetSources()) != 1 || q.Sources[0].GetFrom() != alice {
			t.Errorf("asked %q", q)
		}
	})
}
