package bus

import (
	"sync"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// What is settled of a batch is told to its poster without the lock of the flow, while the
// rest moves into less memory.
func TestPartsOfABatchAreSettledSideBySide(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.bus.origins.end()
	by := a.begin(t, "sender")
	const n = 32
	var posts []*pb.Post
	for i := range uint64(n) {
		posts = append(posts, &pb.Post{Number: i + 1, Message: &pb.Message{Id: "1", Type: "event", From: alice, To: bob, Body: make([]byte, 100)}})
	}
	b := by.outBatch(runOf(t, posts))
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
