package bus

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// raw is a stream without the client, for what the client would not do.
type raw struct {
	h        *house
	call     pb.MessageBus_AttachClient
	sequence uint64
}

func (h *house) raw(component pb.Component) *raw { return h.rawOf(component, "") }

func (h *house) rawOf(component pb.Component, origin string) *raw {
	call, err := pb.NewMessageBusClient(h.conn()).Attach(h.ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	r := &raw{h: h, call: call}
	r.send(&pb.AttachRequest{Hello: &pb.Hello{Name: "raw", Component: component, Origin: []byte(origin)}})
	if first := r.recv(); first.Welcome.GetRuntimeUrl() != runtimeURL {
		h.t.Fatalf("welcomed with %v", first)
	}
	return r
}

func (r *raw) send(req *pb.AttachRequest) {
	r.h.t.Helper()
	if err := r.call.Send(req); err != nil {
		r.h.t.Fatal(err)
	}
}

func (r *raw) recv() *pb.AttachResponse {
	r.h.t.Helper()
	resp, err := r.call.Recv()
	if err != nil {
		r.h.t.Fatal(err)
	}
	return resp
}

// outcome waits for the answer to the last thing asked; deliveries are dropped.
func (r *raw) outcome() *pb.Outcome {
	r.h.t.Helper()
	for {
		for _, o := range r.recv().Outcomes {
			if o.Sequence == r.sequence {
				return o
			}
		}
	}
}

func (r *raw) change(c *pb.ListenerChange) fault.Code {
	r.h.t.Helper()
	r.sequence++
	c.Sequence = r.sequence
	r.send(&pb.AttachRequest{Listeners: []*pb.ListenerChange{c}})
	return fault.Code(r.outcome().Code)
}

func (r *raw) listen(address string, window uint32) {
	r.h.t.Helper()
	if code := r.change(&pb.ListenerChange{Address: address, Window: window}); code != fault.OK {
		r.h.t.Fatalf("listening to %s: %d", address, code)
	}
}

func (r *raw) delivery() *pb.Delivery {
	r.h.t.Helper()
	for {
		if d := r.recv().Deliveries; len(d) > 0 {
			if len(d) > 1 {
				r.h.t.Fatalf("%d deliveries", len(d))
			}
			return d[0]
		}
	}
}

func TestListenerChanges(t *testing.T) {
	h := newHouse(t, Limits{StreamListeners: 4})
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	if code := r.change(&pb.ListenerChange{Address: "*"}); code != fault.BadRequest {
		t.Errorf("an application listens to everything: %d", code)
	}
	r = h.raw(pb.Component_COMPONENT_P2P_STUB)
	for i, tc := range []struct {
		change *pb.ListenerChange
		want   fault.Code
	}{
		{&pb.ListenerChange{Address: alice}, fault.OK},
		{&pb.ListenerChange{Address: alice}, fault.OK},
		{&pb.ListenerChange{Address: alice, LeadsTo: bob}, fault.OK},
		{&pb.ListenerChange{}, fault.BadRequest},
		{&pb.ListenerChange{Address: carol, LeadsTo: carol}, fault.BadRequest},
		{&pb.ListenerChange{Address: carol, LeadsTo: "*"}, fault.BadRequest},
		{&pb.ListenerChange{Address: carol, LeadsTo: bob}, fault.OK},
		{&pb.ListenerChange{Address: bob, LeadsTo: carol}, fault.Conflict},
		{&pb.ListenerChange{Address: "*"}, fault.OK},
		{&pb.ListenerChange{Address: bob}, fault.TooMany},
		{&pb.ListenerChange{Address: bob, Remove: true}, fault.NotFound},
		{&pb.ListenerChange{Address: alice, Remove: true}, fault.OK},
		{&pb.ListenerChange{Address: alice, Remove: true}, fault.NotFound},
		{&pb.ListenerChange{Address: alice, LeadsTo: bob, Remove: true}, fault.OK},
		{&pb.ListenerChange{Address: carol, LeadsTo: bob, Remove: true}, fault.OK},
		{&pb.ListenerChange{Address: "*", Remove: true}, fault.OK},
	} {
		if code := r.change(tc.change); code != tc.want {
			t.Errorf("change %d gave %d, want %d", i, code, tc.want)
		}
	}
	if n := len(h.bus.table.places); n != 0 {
		t.Errorf("%d places are left", n)
	}
}

func TestListenersAreBoundedInAll(t *testing.T) {
	h := newHouse(t, Limits{Listeners: 1})
	h.raw(pb.Component_COMPONENT_APPLICATION).listen(alice, 0)
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	if code := r.change(&pb.ListenerChange{Address: carol}); code != fault.TooMany {
		t.Errorf("a second listener: %d", code)
	}
}

func TestAliasesNeitherCircleNorRunOn(t *testing.T) {
	h := newHouse(t, Limits{})
	r := h.raw(pb.Component_COMPONENT_REGISTRY)
	name := func(i int) string { return fmt.Sprintf("a://b/%d", i) }
	for i := range aliasDepth {
		if code := r.change(&pb.ListenerChange{Address: name(i), LeadsTo: name(i + 1)}); code != fault.OK {
			t.Fatalf("alias %d: %d", i, code)
		}
	}
	for from, to := range map[string]string{name(9): name(0), name(aliasDepth): name(9), name(3): name(1)} {
		r2 := h.raw(pb.Component_COMPONENT_REGISTRY)
		if code := r2.change(&pb.ListenerChange{Address: from, LeadsTo: to}); code != fault.Conflict {
			t.Errorf("%s to %s: %d", from, to, code)
		}
	}
}

// The registry's two aliases: changes lead to the p2p connection, which leads to
// the stub. Both are delivered under the connection's name.
func TestAliasesLeadToTheStub(t *testing.T) {
	h := newHouse(t, Limits{})
	h.bus.table.grow()
	registry, app := h.stub(pb.Component_COMPONENT_REGISTRY), h.app()
	changes := runtimeURL + "/registry/changes"
	for address, target := range map[string]string{connURL: stubURL, changes: connURL} {
		if _, err := registry.Listen(h.ctx, address, nil, client.LeadsTo(target)); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Post(h.ctx, ping(alice, connURL)); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("without the stub: %v", err)
	}
	type named struct {
		name string
		m    *pb.Message
	}
	got := make(chan named, 10)
	all := func(_ context.Context, name string, m *pb.Message) { got <- named{name, m} }
	for range 2 { // the stub comes back, and the aliases with it
		stub, stop := h.attach(pb.Component_COMPONENT_P2P_STUB)
		if _, err := stub.ListenAll(h.ctx, all); err != nil {
			t.Fatal(err)
		}
		h.listen(stub, stubURL)
		for _, to := range []string{connURL, changes} {
			if err := app.Post(h.ctx, ping(alice, to)); err != nil {
				t.Fatal(err)
			}
			if in := <-got; in.name != connURL || in.m.To != to {
				t.Errorf("for %q came %v", in.name, in.m)
			}
		}
		stop()
		h.until("the end of the stub", func() bool { return h.value("streams", "") == 2 })
	}
	if n := h.value("delivered_total", "p2p_stub"); n != 4 {
		t.Errorf("counted %v deliveries to the stub", n)
	}
}

// A registry that comes back before its old stream is found dead adds its
// aliases a second time.
func TestTheSameAliasTwiceDeliversOnce(t *testing.T) {
	h := newHouse(t, Limits{})
	stub := h.raw(pb.Component_COMPONENT_P2P_STUB)
	stub.listen(stubURL, 0)
	first, second := h.raw(pb.Component_COMPONENT_REGISTRY), h.raw(pb.Component_COMPONENT_REGISTRY)
	for _, r := range []*raw{first, second} {
		if code := r.change(&pb.ListenerChange{Address: connURL, LeadsTo: stubURL}); code != fault.OK {
			t.Fatal(code)
		}
	}
	app := h.app()
	for i := range 2 {
		if err := app.Post(h.ctx, numbered(alice, connURL, i)); err != nil {
			t.Fatal(err)
		}
		if d := stub.delivery(); d.Message.Id != message.NumberID(int64(i)) || d.Listener != connURL {
			t.Errorf("post %d came as %v", i, d)
		}
		first.change(&pb.ListenerChange{Address: connURL, LeadsTo: stubURL, Remove: true})
	}
}

func TestNothingGoesBackThroughItsStub(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, stubURL)
	stub := h.raw(pb.Component_COMPONENT_P2P_STUB)
	stub.listen(stubURL, 0)
	stub.listen(carol, 0)
	stub.change(&pb.ListenerChange{Address: bob, LeadsTo: stubURL})
	got := h.listen(h.app(), carol)
	post := func(m *pb.Message) fault.Code {
		m.Via = stubURL
		stub.sequence++
		stub.send(&pb.AttachRequest{Posts: []*pb.Post{{
			Sequence: stub.sequence, Message: m, Ingress: &pb.Ingress{RemoteRuntimeUrl: remote},
		}}})
		return fault.Code(stub.outcome().Code)
	}
	if code := post(numbered(bob+"2", bob, 1)); code != fault.NotFound {
		t.Errorf("towards its own stub: %d", code)
	}
	if n := h.value("refused_total", reasonLoop); n != 1 {
		t.Errorf("counted %v loops", n)
	}
	if code := post(numbered(bob, carol, 2)); code != fault.OK {
		t.Errorf("to an application: %d", code)
	}
	h.next(got)
}

// What a peer sends is for listeners here: a runtime is no relay, and asks nobody
// about the addresses that a peer makes up.
func TestNothingIsForwardedForAPeer(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(alice, stubURL+"-node")
	node := h.raw(pb.Component_COMPONENT_NODE_STUB)
	node.listen(stubURL+"-node", 0)
	stub := h.raw(pb.Component_COMPONENT_P2P_STUB)
	for i, to := range []string{alice, "hyperty://elsewhere.example/x"} {
		stub.sequence++
		m := numbered(bob, to, i)
		m.Via = stubURL
		stub.send(&pb.AttachRequest{Posts: []*pb.Post{{
			Sequence: stub.sequence, Message: m, Ingress: &pb.Ingress{RemoteRuntimeUrl: remote},
		}}})
		if code := fault.Code(stub.outcome().Code); code != fault.NotFound {
			t.Errorf("to %s: %d", to, code)
		}
	}
	if n := h.value("delivered_total", "node_stub"); n != 0 {
		t.Errorf("%v were forwarded", n)
	}
}

func TestTenThousandListenersOnOneStream(t *testing.T) {
	h := newHouse(t, Limits{})
	const n = 10_000
	name := func(i int) string { return fmt.Sprintf("hyperty://a.example/%d", i) }
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	for i := 0; i < n; {
		frame := &pb.AttachRequest{}
		for ; i < n && len(frame.Listeners) < 500; i++ {
			r.sequence++
			frame.Listeners = append(frame.Listeners, &pb.ListenerChange{Sequence: r.sequence, Address: name(i)})
		}
		r.send(frame)
		if o := r.outcome(); o.Code != 200 {
			t.Fatal(o)
		}
	}
	if have := h.value("listeners", ""); have != n {
		t.Errorf("%v listeners", have)
	}
	a := h.app()
	for i := range n {
		if err := a.Send(h.ctx, numbered(alice, name(i), i)); err != nil {
			t.Fatal(err)
		}
	}
	for left := n; left > 0; {
		for _, d := range r.recv().Deliveries {
			if d.Listener != d.Message.To {
				t.Fatalf("for %s came %v", d.Listener, d.Message)
			}
			left--
		}
	}
	if err := r.call.CloseSend(); err != nil {
		t.Fatal(err)
	}
	h.until("the end of the listeners", func() bool { return h.value("listeners", "") == 0 })
	h.bus.table.mu.RLock()
	defer h.bus.table.mu.RUnlock()
	for a := range h.bus.table.places {
		if a != alice { // who is told what was not dealt with
			t.Errorf("the place of %s is left", a)
		}
	}
}

// They come back by themselves when the stream breaks.
func TestTenThousandListenersOfAClient(t *testing.T) {
	h := newHouse(t, Limits{HeldBytes: 4096})
	const n = 10_000
	a := h.app()
	got := make(chan *pb.Message, n)
	var listening sync.WaitGroup
	for part := range 100 {
		listening.Go(func() {
			for i := part; i < n; i += 100 {
				_, err := a.Listen(h.ctx, fmt.Sprintf("a://b/%d", i), func(_ context.Context, m *pb.Message) { got <- m })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	listening.Wait()
	h.busDoor.close()
	h.until("the end of the stream", func() bool { return h.value("listeners", "") == 0 })
	h.busDoor.open(func(s *grpc.Server) { h.bus.Register(s) })
	h.until("the listeners", func() bool { return h.value("listeners", "") == n })
	if err := h.app().Post(h.ctx, ping(alice, "a://b/77")); err != nil {
		t.Fatal(err)
	}
	h.next(got)
}

// What the listener has not dealt with is refused.
func TestTheEndOfAStreamFailsWhatWasQueued(t *testing.T) {
	h := newHouse(t, Limits{})
	slow := h.raw(pb.Component_COMPONENT_APPLICATION)
	slow.listen(carol, 1)
	a := h.app()
	got := h.listen(a, alice)
	if err := a.Post(h.ctx, numbered(alice, carol, 1)); err != nil { // uses up the window
		t.Fatal(err)
	}
	slow.delivery()
	if err := a.Post(h.ctx, numbered(alice, carol, 2)); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := a.Request(h.ctx, numbered(alice, carol, 3))
		answer <- err
	}()
	h.until("the request", func() bool { return h.value("delivered_total", "application") == 3 })
	_ = slow.call.CloseSend()
	for _, id := range []string{"1", "2"} { // the first was under way, and not dealt with
		if in := h.next(got); in.Id != id {
			t.Errorf("refused: %v, want %s", in, id)
		}
	}
	if err := <-answer; fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("the request gave %v", err)
	}
}

// The registry's changes go over the connection of each remote registry that
// wants them.
func TestOneAddressLeadsToSeveral(t *testing.T) {
	h := newHouse(t, Limits{})
	stub := h.raw(pb.Component_COMPONENT_P2P_STUB)
	stub.listen(stubURL, 0)
	registry := h.raw(pb.Component_COMPONENT_REGISTRY)
	changes, second := runtimeURL+"/registry/changes", connURL+"-2"
	for _, a := range [][2]string{{connURL, stubURL}, {second, stubURL}, {changes, connURL}, {changes, second}} {
		if code := registry.change(&pb.ListenerChange{Address: a[0], LeadsTo: a[1]}); code != fault.OK {
			t.Fatalf("%s: %d", a, code)
		}
	}
	app := h.app()
	takers := func(want int) map[string]bool {
		if err := app.Post(h.ctx, ping(alice, changes)); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for len(got) < want {
			for _, d := range stub.recv().Deliveries {
				got[d.Listener] = true
			}
		}
		return got
	}
	if got := takers(2); !got[connURL] || !got[second] {
		t.Errorf("it went over %v", got)
	}
	if code := registry.change(&pb.ListenerChange{Address: changes, LeadsTo: connURL, Remove: true}); code != fault.OK {
		t.Fatal(code)
	}
	if got := takers(1); got[connURL] {
		t.Errorf("it still goes over %v", got)
	}
}
