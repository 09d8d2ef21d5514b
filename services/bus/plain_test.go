package bus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// The source of a batch is asked for again with a text of its own: the frame is gRPC's by
// then.
func TestTheSourceOfABatchIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCouple(t, Limits{}, 50_000, true, true)
		defer c.end()
		c.bus.ask.began() // there is another stream to the registry
		c.post(8, false)
		q := c.bus.ask.next()
		if len(q.GetSources()) != 1 || q.Sources[0].GetFrom() != alice {
			t.Errorf("asked %q", q)
		}
	})
}

// takes is the memory of a batch besides itself, in bytes.
func (b *batch) takes() int {
	switch {
	case b.short == nil:
		return cap(*b.memory) + cap(b.places)*int(unsafe.Sizeof(placed{}))
	case b.memory == &b.short.used:
		return int(unsafe.Sizeof(*b.short) - unsafe.Sizeof(*b))
	}
	return cap(*b.memory) + int(unsafe.Sizeof(*b.short)-unsafe.Sizeof(*b))
}

// What waits takes the memory that is counted for it, also where the listener's name,
// which each delivery has, is longer than the address that was posted to.
func TestTheMemoryOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCouple(t, Limits{}, 1, true, true)
		defer c.end()
		long := carol + strings.Repeat("-", 1500)
		for from, to := range map[string]string{"a": long, long: carol} {
			if err := c.bus.addListener(c.listener, &pb.ListenerChange{Address: from, LeadsTo: to}); err != nil {
				t.Fatal(err)
			}
		}
		for _, to := range []string{carol, long, "a"} {
			for _, kind := range []struct {
				n    uint64
				body int
			}{{batchFrom, 0}, {batchFrom, 140}, {batchFrom, 1000}, {3, 0}, {3, 200}, {4, 0}, {4, 1000}, {8, 0}, {8, 100}, {9, 0}, {64, 0}} {
				var posts []*pb.Post
				for range kind.n {
					c.posted++
					body := fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", kind.body))
					posts = append(posts, &pb.Post{Number: c.posted, Message: &pb.Message{Id: "1", Type: "event", From: alice, To: to, Body: body}})
				}
				before := c.listener.queued
				c.frame(posts)
				taken, most := 0, 2*(c.listener.queued-before)
				for _, b := range c.sender.origin.batches.places {
					if b.first > c.posted-kind.n {
						taken += b.of.takes()
					}
				}
				if most == 0 || taken > most {
					t.Errorf("%d bytes for %v to %.20s, want %d at most", taken, kind, to, most)
				}
			}
		}
	})
}

// A long post that its listener's queue does not take as a batch is a post as any other,
// and one that it takes is not copied. Its memory is overwritten as it is given back.
func TestALongPost(t *testing.T) {
	for _, queue := range []int{1000, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			c := newCouple(t, Limits{QueueBytes: queue}, 1<<20, true, true)
			defer c.end()
			for range 3 {
				c.postLong(false, 18<<10)
				want := []string{fmt.Sprintf("%d %sevent%s%s{\"value\":%d}%*s%s%d", c.posted, carol, alice, carol, c.posted, 18<<10, "", c.sender.origin.id, c.posted)}
				if got := c.took(); !slices.Equal(got, want) {
					t.Fatalf("came %.200q\nwant %.200q", got, want)
				}
				if batched := !c.sender.origin.batches.empty(); batched != (queue > 1000) {
					t.Errorf("with %d bytes of queue, as a batch: %t", queue, batched)
				}
				c.listener.credit(&pb.Credit{Listener: carol, Bytes: 1 << 20})
			}
		})
	}
}
