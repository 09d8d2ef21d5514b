package registry

import (
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// A Message Node stub that was restarted, and cannot take its stubs yet, is told of them
// until it does. Routes that lead there stay.
func TestWhatIsNotDeployedAgainIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	w.saw("watch nodestub")
	w.tellNodes(sessionOf("a.example", "a.example"))
	w.saw(subscription(runtimeA, runtimeA+"/bus", runtimeA+"/registry")) // the first snapshot is taken by now
	bus := r.routes(t)
	bus.ask("domain://registry.b.example")
	w.saw("deploy node b.example")
	w.mu.Lock()
	w.refuse = fault.New(fault.Unavailable, "starting")
	delete(w.domains, "b.example")
	w.mu.Unlock()
	w.tellNodes(&pb.NodeStubWatchResponse{Snapshot: true})
	w.saw("deploy node b.example") // in vain
	if route := bus.ask("domain://registry.b.example"); route.Next != nodeB {
		t.Errorf("meanwhile: %v", route)
	}
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	w.until("it is deployed again", func() bool { return w.domains["b.example"] == nodeB })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nodes["b.example"].lost {
		t.Error("it is tried still")
	}
}
