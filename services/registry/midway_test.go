package registry

import (
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// A registry that is restarted in a set-up, of which only the beginning is stored, goes on
// with what the P2P stub says, however far it is. A requester that is gone begins again.
func TestRestartInASetUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []status.State
		peer   status.State
		want   status.State
	}{
		{"in progress", []status.State{status.Created, status.InProgress}, status.InProgress, status.InProgress},
		{"live meanwhile", []status.State{status.Created, status.InProgress}, status.Live, status.Live},
		{"nothing said before", nil, status.Live, status.Live},
		{"the stub is gone", []status.State{status.Created, status.InProgress}, status.None, status.Created},
		{"failed meanwhile", []status.State{status.Created}, status.Failed, status.Failed},
		{"gone while it was registered", []status.State{status.Created, status.InProgress, status.Live}, status.None, status.Created},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := openEngine(t)
			w := newWorld(t)
			r := w.start(e, nil)
			w.answer(address.DomainRegistry("b.example"), found(runtimeB, handlerB))
			r.routes(t).ask(bob)
			stub := w.requesterOf(runtimeB)
			for _, s := range c.before { // live is not registered: nobody answers at the stub
				w.publish(stub, runtimeB, s, "")
			}
			if n := len(c.before); n > 0 {
				r.state(t, runtimeB, min(c.before[n-1], status.InProgress))
			}
			r.saved(t, e, runtimeB, status.Created)
			r.stop()

			w = newWorld(t)
			w.answer(stub, ok)
			r = w.start(e, nil)
			w.saw("watch p2pstub")
			snapshot := &pb.P2PStubWatchResponse{Snapshot: true}
			if c.peer != status.None {
				snapshot.Stubs = []string{stub}
				snapshot.Peers = []*pb.Peer{{StubUrl: stub, Role: requester, RemoteRuntimeUrl: runtimeB, State: c.peer.Proto()}}
			}
			w.tell(snapshot)
			got := r.state(t, runtimeB, c.want)
			if got.Attempts > 1 || len(got.Transitions) > 3 {
				t.Errorf("%v", got)
			}
			if c.peer == status.None {
				if again := w.requesterOf(runtimeB); again != stub {
					t.Errorf("%s is deployed for %s", again, stub)
				}
			}
			if c.want == status.Failed {
				r.saved(t, e, runtimeB, status.Failed)
			}
		})
	}
}
