package registry

import (
	"fmt"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
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

// TestSubscribesOnceASession: each thing that is said calls for one subscription or none.
func TestSubscribesOnceASession(t *testing.T) {
	conn, stop := newWorld(t).serve()
	defer stop()
	r, err := New(Config{
		RuntimeURL: runtimeA, P2PStub: pb.NewP2PStubClient(conn), NodeStub: pb.NewNodeStubClient(conn), Bus: conn,
		Engine: &engine.Engine{}, Log: testLog(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	const a, b = "a.example", "b.example"
	snapshot := func(of *pb.NodeStubWatchResponse) *pb.NodeStubWatchResponse {
		of.Snapshot = true
		return of
	}
	for n, step := range []struct {
		said *pb.NodeStubWatchResponse
		want int
	}{
		{snapshot(&pb.NodeStubWatchResponse{}), 0},
		{sessionOf(b, b), 0},
		{&pb.NodeStubWatchResponse{Sessions: []*pb.NodeSession{{Domain: a, State: "opening"}}}, 0},
		{sessionOf(a), 1}, // it may be one of before
		{sessionOf(a), 0},
		{sessionOf(b, b), 0},
		{sessionOf(a, a), 1},
		{sessionOf(a), 0},
		{snapshot(sessionOf(a)), 1}, // what went before was not heard
		{sessionOf(a), 0},
		{snapshot(sessionOf(b)), 0},
		{sessionOf(a, a), 1},
		{sessionOf(a), 0},
	} {
		r.takeSessions(step.said)
		if got := len(r.renew); got != step.want {
			t.Errorf("%d: %d subscriptions, want %d: %v", n, got, step.want, step.said)
		}
		select {
		case <-r.renew:
		default:
		}
	}
}

// subscription is what a registry sends for a source.
func subscription(source string, addresses ...string) string {
	return fmt.Sprintf(`subscribe %s/ua -> domain://msg-node.a.example/sm {"resources":["%s"],"source":"%s"}`,
		runtimeA, strings.Join(addresses, `","`), source)
}

// sessionOf says that the session of a domain is live, and which have begun anew.
func sessionOf(domain string, renewed ...string) *pb.NodeStubWatchResponse {
	return &pb.NodeStubWatchResponse{Sessions: []*pb.NodeSession{{Domain: domain, State: sessionLive}}, Renewed: renewed}
}

// A session that may be one of before is subscribed for, and one that begins anew is again.
func TestSubscribesForASession(t *testing.T) {
	w := newWorld(t)
	w.start(openEngine(t), nil)
	w.saw("watch p2pstub")
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true})
	h := w.handlerOf()
	w.saw("watch nodestub")
	for _, said := range []*pb.NodeStubWatchResponse{sessionOf("a.example"), sessionOf("a.example", "a.example")} {
		w.tellNodes(said)
		w.saw(subscription(h, h))
		w.saw(subscription(runtimeA, runtimeA+"/bus", runtimeA+"/registry"))
	}
}
