package bus

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// send sends numbered messages from alice to bob.
func (h *house) send(c *client.Bus, from, to int) {
	h.t.Helper()
	for i := from; i < to; i++ {
		if err := c.Send(h.ctx, numbered(alice, bob, i)); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) expect(got chan *pb.Message, from, to int) {
	h.t.Helper()
	for i := from; i < to; i++ {
		if m := h.next(got); m.Id != message.NumberID(int64(i)) {
			h.t.Fatalf("got %s, want %d", m.Id, i)
		}
	}
}

func TestARouteIsAskedForOnce(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, nodeURL)
	got := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	a := h.app()
	h.send(a, 0, 100)
	h.expect(got, 0, 100)
	if n := h.registry.questions(bob); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if n := h.registry.checks(alice); n != 1 {
		t.Errorf("the source was checked %d times", n)
	}
	if n := h.value("delivered_total", "node_stub"); n != 100 {
		t.Errorf("counted %v deliveries to the stub", n)
	}
}

func TestNothingOvertakesWhileARouteIsResolved(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, nodeURL)
	h.registry.hold(bob)
	got := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	a := h.app()
	other := h.listen(a, carol)
	h.send(a, 0, 50)
	if err := a.Post(h.ctx, ping(alice, carol)); err != nil {
		t.Fatal(err)
	}
	h.next(other) // what has a way is not held up
	h.until("the line", func() bool { return h.value("waiting_messages", "") == 50 })
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		h.send(a, 50, 2000)
	}()
	h.registry.release()
	h.expect(got, 0, 2000)
	<-sent
}

func TestNothingOvertakesWhileASourceIsChecked(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.hold(alice)
	a := h.app()
	got := h.listen(h.app(), bob)
	h.send(a, 0, 50)
	h.until("the line", func() bool { return h.value("waiting_sources", "") == 50 })
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		h.send(a, 50, 2000)
	}()
	h.registry.release()
	h.expect(got, 0, 2000)
	<-sent
}

func TestARouteChanges(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, nodeURL)
	node := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	p2p := h.listen(h.stub(pb.Component_COMPONENT_P2P_STUB), stubURL)
	a := h.app()
	h.send(a, 0, 10)
	h.expect(node, 0, 10)
	h.registry.push(&pb.RoutesResponse{Changes: []*pb.Route{{To: bob, Next: stubURL}, {To: "a://b/unknown", Next: stubURL}}})
	h.until("the change", func() bool { return h.value("route_changes_total", "") == 1 })
	h.send(a, 10, 20)
	h.expect(p2p, 10, 20)
	h.registry.set(bob, nodeURL)
	h.registry.push(&pb.RoutesResponse{Changes: []*pb.Route{{To: bob}}}) // forget it
	h.until("the change", func() bool { return h.value("route_changes_total", "") == 2 })
	h.send(a, 20, 30)
	h.expect(node, 20, 30)
	if n := h.registry.questions(bob); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// The next message takes it, also while the registry does not answer, and asks beside it.
func TestARouteIsUsedWhileItIsAskedForAgain(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, nodeURL)
	node := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	a := h.app()
	h.send(a, 0, 10)
	h.expect(node, 0, 10)
	h.registry.push(&pb.RoutesResponse{Changes: []*pb.Route{{To: bob, Next: nodeURL, Again: true}}})
	h.until("the change", func() bool { return h.value("route_changes_total", "") == 1 })
	h.registry.hold(bob)
	h.send(a, 10, 20)
	h.expect(node, 10, 20)
	h.until("the question", func() bool { return h.registry.questions(bob) == 2 })
	h.registry.release()
	h.send(a, 20, 30)
	h.expect(node, 20, 30)
	if n := h.registry.questions(bob); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// The route changes while messages flow: each stub gets its part in order.
func TestOrderIsKeptWhileRoutesChange(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, nodeURL)
	node := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	p2p := h.listen(h.stub(pb.Component_COMPONENT_P2P_STUB), stubURL)
	a := h.app()
	const n = 3000
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		h.send(a, 0, n)
	}()
	go func() {
		for i := 0; ; i++ {
			select {
			case <-sent:
				return
			default:
				next := []string{stubURL, nodeURL, ""}[i%3]
				h.registry.push(&pb.RoutesResponse{Changes: []*pb.Route{{To: bob, Next: next}}})
			}
		}
	}()
	last := map[chan *pb.Message]int{node: -1, p2p: -1}
	for range n {
		var from chan *pb.Message
		var m *pb.Message
		select {
		case m = <-node:
			from = node
		case m = <-p2p:
			from = p2p
		case <-h.ctx.Done():
			t.Fatal("messages are missing")
		}
		var id int
		if _, err := fmt.Sscan(m.Id, &id); err != nil || id <= last[from] {
			t.Fatalf("%s came behind %d", m.Id, last[from])
		}
		last[from] = id
	}
	<-sent
}

func TestARouteThatWaitsIsChanged(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, stubURL) // not there
	node := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	a := h.app()
	h.send(a, 0, 10)
	h.until("the line", func() bool { return h.value("waiting_messages", "") == 10 && h.value("routes", "") == 1 })
	h.registry.push(&pb.RoutesResponse{Changes: []*pb.Route{{To: bob, Next: nodeURL}}})
	h.expect(node, 0, 10)
	h.registry.with(func(r *registry) { r.routes[bob] = &pb.Route{Code: 404, Description: "gone"} })
	h.registry.push(&pb.RoutesResponse{Changes: []*pb.Route{{To: bob, Code: 404}}})
	h.until("the change", func() bool { return h.value("routes", "") == 0 })
	if err := a.Post(h.ctx, ping(alice, bob)); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("without a route: %v", err)
	}
}

func TestAListenerTakesWhatWaitsForARoute(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.hold(bob)
	a := h.app()
	h.send(a, 0, 10)
	h.until("the line", func() bool { return h.value("waiting_messages", "") == 10 })
	h.expect(h.listen(a, bob), 0, 10)
	if n := len(h.bus.ask.open); n != 0 {
		t.Errorf("%d questions are open", n)
	}
}

func TestAStubRestarts(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, nodeURL)
	stub, stop := h.attach(pb.Component_COMPONENT_NODE_STUB)
	h.expectAfter(h.listen(stub, nodeURL), 0, 10)
	stop()
	h.until("the end of the stub", func() bool { return h.value("streams", "") == 1 })
	a := h.app()
	h.send(a, 10, 20)
	h.until("the line", func() bool { return h.value("waiting_messages", "") == 10 })
	again := h.stub(pb.Component_COMPONENT_NODE_STUB)
	got := h.listen(again, nodeURL)
	h.send(a, 20, 30)
	h.expect(got, 10, 30)
	if n := h.registry.questions(bob); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func (h *house) expectAfter(got chan *pb.Message, from, to int) {
	h.send(h.app(), from, to)
	h.expect(got, from, to)
}

func TestAStubStaysAway(t *testing.T) {
	h := newHouse(t, Limits{WaitTime: 10 * time.Millisecond})
	h.registry.set(bob, nodeURL)
	a := h.app()
	if err := a.Post(h.ctx, ping(alice, bob)); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Post gave %v", err)
	}
	if n := h.value("refused_total", reasonWaitTime); n != 1 {
		t.Errorf("counted %v", n)
	}
	if n := len(h.bus.table.places) + len(h.bus.table.waiting); n != 0 {
		t.Errorf("%d places are left", n)
	}
}

func TestTheRegistryRestarts(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, nodeURL)
	got := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	a := h.app()
	h.send(a, 0, 10)
	h.expect(got, 0, 10)
	h.regDoor.close()
	h.until("the end of the registry", func() bool { return h.value("registry_connected", "") == 0 })
	h.send(a, 10, 20) // the route is known
	h.expect(got, 10, 20)
	other := "hyperty://b.example/other"
	h.registry.set(other, nodeURL)
	if err := a.Send(h.ctx, numbered(alice, other, 99)); err != nil {
		t.Fatal(err)
	}
	h.until("the line", func() bool { return h.value("waiting_messages", "") == 1 })
	h.send(a, 20, 30)
	h.expect(got, 20, 30)
	h.regDoor.open(func(s *grpc.Server) { pb.RegisterRegistryServer(s, h.registry) })
	h.expect(got, 99, 100)
	h.send(a, 30, 31) // asks again, and does not wait
	h.expect(got, 30, 31)
	h.until("the second questions", func() bool { return h.registry.questions(bob) == 2 && h.registry.checks(alice) == 2 })
	h.send(a, 31, 41)
	h.expect(got, 31, 41)
	if n := h.registry.questions(bob); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestTheRegistryIsAway(t *testing.T) {
	h := newHouse(t, Limits{WaitTime: 10 * time.Millisecond})
	h.regDoor.close()
	registry := h.stub(pb.Component_COMPONENT_REGISTRY) // needs no approval
	if err := registry.Post(h.ctx, ping(alice, bob)); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("an unknown route: %v", err)
	}
	if err := h.app().Post(h.ctx, ping(alice, bob)); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("an unknown source: %v", err)
	}
	if n := len(h.bus.ask.open); n != 0 {
		t.Errorf("%d questions are open", n)
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	h := newHouse(t, Limits{WaitMessages: 5, WaitAddresses: 1})
	h.registry.hold(bob)
	registry := h.stub(pb.Component_COMPONENT_REGISTRY)
	got := h.listen(registry, alice)
	h.send(registry, 0, 6)
	if m := h.next(got); m.Id != "5" {
		t.Errorf("refused: %v", m)
	}
	if err := registry.Post(h.ctx, ping(alice, carol)); fault.CodeOf(err) != fault.TooMany {
		t.Errorf("a second address: %v", err)
	}
	h.registry.set(bob, nodeURL)
	stub := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	h.registry.release()
	h.expect(stub, 0, 5)
}

func TestAWishForP2PIsToldOnce(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, nodeURL)
	got := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	a := h.app()
	h.send(a, 0, 1)
	h.expect(got, 0, 1)
	for i := range 10 {
		m := numbered(alice, bob, i)
		m.P2P = true
		if err := a.Send(h.ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	h.expect(got, 0, 10)
	h.until("the question", func() bool { return h.registry.questions(bob) == 2 })
	h.registry.with(func(r *registry) {
		if last := r.asked[len(r.asked)-1]; !last.P2P {
			t.Errorf("asked %v", last)
		}
	})
}

func TestSources(t *testing.T) {
	h := newHouse(t, Limits{})
	h.listen(h.app(), carol)
	node, p2p := h.stub(pb.Component_COMPONENT_NODE_STUB), h.stub(pb.Component_COMPONENT_P2P_STUB)
	via := func(m *pb.Message, url string) *pb.Message { m.Via = url; return m }
	for _, post := range []func() error{
		func() error { return node.Post(h.ctx, via(ping(bob, carol), nodeURL), client.From(&pb.Ingress{})) },
		func() error {
			return p2p.Post(h.ctx, via(ping(bob, carol), stubURL), client.From(&pb.Ingress{RemoteRuntimeUrl: remote}))
		},
	} {
		for range 3 {
			if err := post(); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.registry.with(func(r *registry) {
		if len(r.checked) != 2 || !r.checked[0].Node || r.checked[1].RemoteRuntimeUrl != remote || r.checked[1].Node {
			t.Errorf("checked %v", r.checked)
		}
		r.refused[bob] = true
	})
	h.registry.push(&pb.RoutesResponse{StaleSources: []string{bob}})
	h.until("the end of the approval", func() bool { return h.bus.sources.size() == 0 })
	if err := node.Post(h.ctx, via(ping(bob, carol), nodeURL), client.From(&pb.Ingress{})); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("after the approval: %v", err)
	}
	if err := node.Post(h.ctx, ping(nodeURL, carol)); err != nil { // for itself
		t.Error(err)
	}
	if err := h.app().Post(h.ctx, ping(alice, carol), client.From(&pb.Ingress{})); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("an application that claims to be a stub: %v", err)
	}
	if err := p2p.Post(h.ctx, ping(alice, carol), client.From(&pb.Ingress{})); fault.CodeOf(err) != fault.BadRequest {
		t.Errorf("a data channel from nowhere: %v", err)
	}
}

// size counts what is approved.
func (s *sources) size() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.approved.len()
}
