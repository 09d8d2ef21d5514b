package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestARequestIsAnsweredFromAnotherReplica(t *testing.T) {
	c := newCluster(t, Limits{}, 2)
	a, b := c.all[0], c.all[1]
	b.echo(b.app(), carol)
	app := a.app()
	for range 50 {
		if _, err := app.Request(a.ctx, ping(alice, carol)); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := pb.NewMessageBusClient(a.conn()).Post(a.ctx, &pb.PostRequest{Message: ping("", carol), Wait: pb.Wait_WAIT_RESPONSE})
	if err != nil || resp.GetResponse() == nil {
		t.Errorf("a call that names no sender got %v, %v", resp, err)
	}
}

// The response comes in at a third replica, and its address is listened to at a second one.
func TestAResponseIsHandedOverToWhereItsRequestWaits(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	for _, h := range c.all {
		h.registry.set(bob, nodeURL)
	}
	out, _ := c.all[1].attach(pb.Component_COMPONENT_NODE_STUB)
	in, _ := c.all[2].attach(pb.Component_COMPONENT_NODE_STUB)
	answer := func(ctx context.Context, m *pb.Message) {
		c.all[2].untilAwaited(m)
		for _, code := range []fault.Code{100, 200} {
			r := message.Answer(m, code, nil)
			r.Via = nodeURL
			if err := in.Send(ctx, r, client.From(&pb.Ingress{})); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := out.Listen(c.all[1].ctx, nodeURL, answer); err != nil {
		t.Fatal(err)
	}
	others := c.all[1].listen(c.all[1].app(), alice)
	app := c.all[0].app()
	for range 20 {
		m, err := app.Request(c.all[0].ctx, ping(alice, bob))
		if err != nil {
			t.Fatal(err)
		}
		if code, err := message.Result(m); code != 200 || err != nil {
			t.Errorf("the response has code %d, %v", code, err)
		}
		if code, _ := message.Result(c.all[1].next(others)); code != 100 {
			t.Errorf("the listener got a response with code %d", code)
		}
	}
	nothingElse(t, others)
}

// untilAwaited waits until a replica knows that another one waits for the response to a
// request: over a network it does long before there is one.
func (h *replicaHouse) untilAwaited(request *pb.Message) {
	h.until("it is known that the response is waited for", func() bool {
		h.bus.mesh.mu.Lock()
		defer h.bus.mesh.mu.Unlock()
		_, ok := h.bus.mesh.awaited.get(message.KeyOf(request))
		return ok
	})
}

// Nobody was told that the request waits: all are asked before the response is dropped.
func TestAResponseThatNobodyWantsIsOfferedToAllReplicas(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	c.all[0].registry.set(bob, nodeURL)
	asked := make(chan *pb.Message, 1)
	stub := c.all[0].stub(pb.Component_COMPONENT_NODE_STUB)
	if _, err := stub.Listen(c.all[0].ctx, nodeURL, func(_ context.Context, m *pb.Message) { asked <- m }); err != nil {
		t.Fatal(err)
	}
	outcome, err := c.all[0].app().Start(c.all[0].ctx, ping(alice, bob), pb.Wait_WAIT_RESPONSE, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	m := c.all[0].next(asked)
	at := c.all[2]
	at.untilAwaited(m)
	at.bus.mesh.mu.Lock()
	at.bus.mesh.awaited.delete(message.KeyOf(m))
	at.bus.mesh.mu.Unlock()
	in, _ := at.attach(pb.Component_COMPONENT_NODE_STUB)
	r := message.Answer(m, 200, nil)
	r.Via = nodeURL
	if err := in.Send(at.ctx, r, client.From(&pb.Ingress{})); err != nil {
		t.Fatal(err)
	}
	if _, err := outcome(at.ctx); err != nil {
		t.Error(err)
	}
	r = message.Answer(ping("hyperty://a.example/nobody", bob), 200, nil)
	r.Id, r.Via = `1`, nodeURL
	if err := in.Post(at.ctx, r, client.From(&pb.Ingress{}), client.Delivered()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a response for nobody gave %v, want 404", err)
	}
}

func TestAnAliasLeadsToAStubAtAnotherReplica(t *testing.T) {
	for _, order := range []string{"stub first", "alias first"} {
		t.Run(order, func(t *testing.T) {
			c := newCluster(t, Limits{}, 3)
			reg, stopRegistry := c.all[0].attach(pb.Component_COMPONENT_REGISTRY)
			stub, _ := c.all[1].attach(pb.Component_COMPONENT_P2P_STUB)
			got := make(chan string, 1000)
			alias := func() {
				if _, err := reg.Listen(c.all[0].ctx, connURL, nil, client.LeadsTo(stubURL)); err != nil {
					t.Fatal(err)
				}
			}
			listen := func() {
				if _, err := stub.Listen(c.all[1].ctx, stubURL, func(context.Context, *pb.Message) { got <- "own" }); err != nil {
					t.Fatal(err)
				}
				if _, err := stub.ListenAll(c.all[1].ctx, func(_ context.Context, name string, m *pb.Message) { got <- name + " " + m.Id }); err != nil {
					t.Fatal(err)
				}
			}
			if order == "alias first" {
				alias()
				listen()
			} else {
				listen()
				alias()
			}
			for at, h := range c.all {
				app := h.app()
				for i := range 100 {
					if err := app.Post(h.ctx, numbered(alice, connURL, i), client.Delivered()); err != nil {
						t.Fatalf("at %d: %v", at, err)
					}
					if name := <-got; name != fmt.Sprintf("%s %d", connURL, i) {
						t.Fatalf("at %d: got %s", at, name)
					}
				}
			}
			stopRegistry()
			for at, h := range c.all {
				h.until("the alias is gone", func() bool { return h.bus.table.size().listeners == 1+btoi(at == 1) })
				if h.bus.table.heard(connURL) {
					t.Errorf("at %d: the alias that was taken away is there", at)
				}
			}
		})
	}
}

// btoi counts a listener: that for any address is known at its own replica alone.
func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestAStrangerIsNoReplica(t *testing.T) {
	c := newCluster(t, Limits{JoinTime: 50 * time.Millisecond}, 1)
	h := c.all[0]
	for name, hello := range map[string]*pb.Hello{
		"a stranger": {Component: pb.Component_COMPONENT_BUS, Replica: "bus-99", ToReplica: "bus-1"},
		"itself":     {Component: pb.Component_COMPONENT_BUS, Replica: "bus-1", ToReplica: "bus-1"},
		"nobody":     {Component: pb.Component_COMPONENT_BUS, ToReplica: "bus-1"},
	} {
		call, err := pb.NewMessageBusClient(h.conn()).Attach(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := call.Send(&pb.AttachRequest{Hello: hello}); err != nil {
			t.Fatal(err)
		}
		if _, err := call.Recv(); fault.CodeOf(err) != fault.Forbidden {
			t.Errorf("%s got %v, want 403", name, err)
		}
	}
	alone := newHouse(t, Limits{})
	call, err := pb.NewMessageBusClient(alone.conn()).Attach(alone.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Send(&pb.AttachRequest{Hello: &pb.Hello{Component: pb.Component_COMPONENT_BUS, Replica: "bus-1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Recv(); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("a bus without replicas gave %v, want 403", err)
	}
}

// What only replicas say, others say in vain.
func TestAClientDoesNotSpeakForAReplica(t *testing.T) {
	c := newCluster(t, Limits{}, 2)
	h := c.all[0]
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	r.send(&pb.AttachRequest{
		Changes: []*pb.ReplicaChange{{Sequence: 1, Address: carol}},
		Awaited: []*pb.AwaitedResponse{{From: alice, To: carol, Id: "1"}},
	})
	r.listen(alice, 0)
	if n := h.bus.table.size().listeners; n != 1 {
		t.Errorf("there are %d listeners, want its own alone", n)
	}
}

// A response that came too late to its replica, and is for a listener there that is cut
// off, waits for it there: what is handed over later is not taken for it.
func TestALateResponseWaitsForTheListenerOfItsAddress(t *testing.T) {
	c := newCluster(t, Limits{}, 2)
	a, b := c.all[0], c.all[1]
	stub, _ := b.attach(pb.Component_COMPONENT_NODE_STUB)
	late := func(id string) func() {
		t.Helper()
		r := message.Answer(ping(alice, bob), 200, nil)
		r.Id, r.Via = id, nodeURL
		b.bus.mesh.waits(elsewhere{replica: "bus-1"}, message.AnswerKey(r))
		outcome, err := stub.Start(b.ctx, r, pb.Wait_WAIT_DELIVERED, time.Minute, client.From(&pb.Ingress{}))
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if _, err := outcome(b.ctx); err != nil {
				t.Errorf("response %s: %v", id, err)
			}
		}
	}
	r := a.rawOf(pb.Component_COMPONENT_APPLICATION, "some client")
	r.listen(alice, 0)
	first := late(`"first"`)
	r.delivery()
	r = a.rawOf(pb.Component_COMPONENT_APPLICATION, "some client")
	r.send(&pb.AttachRequest{Listeners: []*pb.ListenerChange{{Address: alice}}})
	for _, want := range []string{`"first"`, `"second"`} {
		if want == `"second"` {
			defer late(want)()
		}
		d := r.delivery()
		if d.Message.Id != want {
			t.Fatalf("response %s came, want %s", d.Message.Id, want)
		}
		r.send(&pb.AttachRequest{Credits: []*pb.Credit{{Listener: alice, Bytes: uint32(proto.Size(d.Message))}}})
	}
	first()
}
