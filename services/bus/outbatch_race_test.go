package bus

import (
	"sync"
	"testing"

	"github.com/peerbus/peerbus/protocol/codec"
)

// What is settled of a batch is told to its poster without the lock of the flow, while the
// rest moves into less memory.
func TestPartsOfABatchAreSettledSideBySide(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.bus.origins.end()
	by := a.begin(t, "sender")
	const n = 32
	posts := make([]codec.Plain, n)
	for i := range posts {
		posts[i].Encoded = make([]byte, 200)
	}
	b := by.outBatch(posts, 1, 200*n)
	if !by.takeBatch(b) {
		t.Fatal("not taken")
	}
	var flow sync.Mutex
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			p := part{b, i, i + 1}
			flow.Lock()
			p.settled()
			flow.Unlock()
			a.bus.finishPart(p, outDirect)
			b.free(1)
		})
	}
	all.Wait()
	if by.origin.batches.posts() > 0 {
		t.Error("some of it is open")
	}
	a.cutOff(by)
}
