package bus

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// ghost is another replica that says what the test wants: on the stream that the bus
// has from it, and on the one that it has from the bus.
type ghost struct {
	pb.UnimplementedMessageBusServer
	*raw      // what it says to the bus
	t         testing.TB
	door      door
	requests  chan *pb.AttachRequest  // what the bus says to it
	responses chan *pb.AttachResponse // what it says to that
	seat      *seat
	paused    sync.Mutex // held while it does not answer
	mu        sync.Mutex
	knows     map[string]bool // addresses that the bus has told of
}

func haunted(t *testing.T, l Limits) (*replicaHouse, *ghost) {
	c := &cluster{t: t, limits: l, roster: newRoster()}
	g := &ghost{t: t, knows: map[string]bool{}, requests: make(chan *pb.AttachRequest, 1000), responses: make(chan *pb.AttachResponse, 1000)}
	g.door.t = t
	g.door.open(func(s *grpc.Server) { pb.RegisterMessageBusServer(s, g) })
	t.Cleanup(g.door.close)
	g.seat = c.roster.seat("ghost")
	g.seat.take(&g.door)
	s := c.roster.seat("bus")
	h := &replicaHouse{newHouseOf(t, l, quiet(), s), s}
	call, err := pb.NewMessageBusClient(h.conn()).Attach(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	g.raw = &raw{h: h.house, call: call}
	g.send(&pb.AttachRequest{Hello: &pb.Hello{Name: "bus", Component: pb.Component_COMPONENT_BUS, Replica: "ghost", ToReplica: "bus"}})
	if g.recv().GetWelcome() == nil {
		t.Fatal("it is not welcome")
	}
	g.tell(&pb.ReplicaChange{Complete: true})
	h.until("the links", func() bool { return h.bus.mesh.connected() == 1 })
	return h, g
}

// Attach is MessageBusServer's: it confirms all changes.
func (g *ghost) Attach(call pb.MessageBus_AttachServer) error {
	if err := call.Send(&pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: runtimeURL}}); err != nil {
		return err
	}
	go func() {
		for {
			select {
			case resp := <-g.responses:
				_ = call.Send(resp)
			case <-call.Context().Done():
				return
			}
		}
	}()
	for {
		req, err := call.Recv()
		if err != nil {
			return nil
		}
		g.paused.Lock()
		resp := &pb.AttachResponse{}
		g.paused.Unlock()
		for _, c := range req.GetChanges() {
			resp.Outcomes = append(resp.Outcomes, &pb.Outcome{Sequence: c.GetSequence(), Code: 200})
		}
		if len(resp.Outcomes) > 0 {
			g.responses <- resp
		}
		if len(req.GetCredits()) > 0 {
			g.requests <- req
		}
		if len(req.GetChanges()) > 0 {
			g.changes(req.GetChanges())
		}
	}
}

// changes notes what the bus has told.
func (g *ghost) changes(all []*pb.ReplicaChange) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range all {
		g.knows[c.GetAddress()] = !c.GetRemove()
	}
}

func (g *ghost) has(address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.knows[address]
}

// tell says changes, and waits until the bus has taken them.
func (g *ghost) tell(changes ...*pb.ReplicaChange) {
	g.t.Helper()
	for _, c := range changes {
		g.sequence++
		c.Sequence = g.sequence
	}
	g.send(&pb.AttachRequest{Changes: changes})
	if o := g.outcome(); o.GetCode() != 200 {
		g.t.Fatalf("the change got %v", o)
	}
}

// deliver hands over a message from one of its queues.
func (g *ghost) deliver(listener, leadsTo string, queue uint64, m *pb.Message) {
	g.responses <- &pb.AttachResponse{Deliveries: []*pb.Delivery{{
		Listener: listener, Message: m, From: &pb.FromQueue{Queue: queue, LeadsTo: leadsTo},
	}}}
}

// credit waits for the next credit of the bus.
func (g *ghost) credit() *pb.Credit {
	g.t.Helper()
	select {
	case req := <-g.requests:
		return req.Credits[0]
	case <-g.h.ctx.Done():
		g.t.Fatal("no credit came")
		return nil
	}
}

func given(d *pb.Delivery, refused *pb.Outcome) *pb.AttachRequest {
	return &pb.AttachRequest{Credits: []*pb.Credit{{
		Listener: d.GetListener(), Queue: d.GetFrom().GetQueue(), Bytes: uint32(sizeOf(d.Message)), Refused: refused, // small
	}}}
}

func TestAnotherReplicaRefuses(t *testing.T) {
	h, g := haunted(t, Limits{})
	g.tell(&pb.ReplicaChange{Address: carol, Component: pb.Component_COMPONENT_APPLICATION})
	app := h.app()
	for i, refused := range []*pb.Outcome{nil, {Code: 403, Description: "not here"}, nil} {
		outcome, err := app.Start(h.ctx, numbered(alice, carol, i), pb.Wait_WAIT_DELIVERED, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		d := g.delivery()
		if d.Message.Id != fmt.Sprint(i) || d.GetFrom().GetLeadsTo() != carol {
			t.Fatalf("delivery %d is %v", i, d)
		}
		stale := given(d, nil)
		stale.Credits[0].Queue++ // of another queue of that name
		g.send(stale)
		g.send(given(d, refused))
		if _, err := outcome(h.ctx); err != nil && fault.CodeOf(err) != fault.Forbidden || (err == nil) != (refused == nil) {
			t.Errorf("message %d ended with %v", i, err)
		}
	}
}

func TestWhatIsNotDealtWithAtAReplicaComesAgainInOrder(t *testing.T) {
	h, g := haunted(t, Limits{})
	there := &pb.ReplicaChange{Address: carol, Component: pb.Component_COMPONENT_APPLICATION}
	g.tell(there)
	app := h.app()
	for i := range 5 {
		if err := app.Post(h.ctx, numbered(alice, carol, i)); err != nil {
			t.Fatal(err)
		}
	}
	first := g.delivery()
	g.tell(&pb.ReplicaChange{Address: carol, Remove: true, Returning: true})
	if err := app.Send(h.ctx, numbered(alice, carol, 5)); err != nil {
		t.Fatal(err)
	}
	g.send(&pb.AttachRequest{Changes: []*pb.ReplicaChange{{Sequence: 100, Address: carol, Component: there.Component}}})
	for i := 0; i < 6; {
		for _, d := range g.recv().Deliveries {
			if d.Message.Id != fmt.Sprint(i) || d.GetFrom().GetQueue() == first.GetFrom().GetQueue() {
				t.Fatalf("%s came from queue %d, want %d from another than %d", d.Message.Id, d.From.Queue, i, first.From.Queue)
			}
			i++
		}
	}
}

// What a client has left at another replica is cut off there as it attaches here, and
// what that replica says of it later is out of date.
func TestAClientIsWhereItAttachedLast(t *testing.T) {
	h, g := haunted(t, Limits{})
	client := []byte("client 1")
	g.tell(
		&pb.ReplicaChange{Client: client, Attachment: 4},
		&pb.ReplicaChange{Address: carol, Client: client, Component: pb.Component_COMPONENT_APPLICATION})
	app := h.app()
	if err := app.Post(h.ctx, numbered(alice, carol, 0)); err != nil {
		t.Fatal(err)
	}
	g.delivery()
	call, err := pb.NewMessageBusClient(h.conn()).Attach(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{h: h.house, call: call}
	r.send(&pb.AttachRequest{Hello: &pb.Hello{Origin: client, Attachment: 5}})
	r.recv()
	g.tell(&pb.ReplicaChange{Address: carol, Client: client, Component: pb.Component_COMPONENT_APPLICATION})
	r.send(&pb.AttachRequest{Listeners: []*pb.ListenerChange{{Sequence: 1, Address: carol}}})
	if err := app.Send(h.ctx, numbered(alice, carol, 1)); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 2; {
		for _, d := range r.recv().Deliveries {
			if d.Message.Id != fmt.Sprint(i) {
				t.Fatalf("message %s came, want %d", d.Message.Id, i)
			}
			i++
		}
	}
	if n := h.bus.table.size().listeners; n != 1 {
		t.Errorf("there are %d listeners, want the client's alone", n)
	}
	late, err := pb.NewMessageBusClient(h.conn()).Attach(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	g.tell(&pb.ReplicaChange{Client: client, Attachment: 7})
	for err == nil {
		_, err = call.Recv()
	}
	if fault.CodeOf(err) != fault.Conflict {
		t.Errorf("its stream here ended with %v, want 409", err)
	}
	if err := late.Send(&pb.AttachRequest{Hello: &pb.Hello{Origin: client, Attachment: 6}}); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Recv(); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("an attachment that is out of date got %v, want 409", err)
	}
}

// An alias is known at the other replica first: what comes for it waits until it is
// known here, or is refused.
func TestADeliveryWaitsForItsAlias(t *testing.T) {
	l := DefaultLimits()
	l.WaitTime = time.Second
	h, g := haunted(t, l)
	stub, _ := h.attach(pb.Component_COMPONENT_P2P_STUB)
	got := make(chan *pb.Message, 10)
	if _, err := stub.Listen(h.ctx, stubURL, func(_ context.Context, m *pb.Message) { t.Errorf("%s came for the stub itself", m.Id) }); err != nil {
		t.Fatal(err)
	}
	if _, err := stub.ListenAll(h.ctx, func(_ context.Context, _ string, m *pb.Message) { got <- m }); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		g.deliver(connURL, stubURL, 7, numbered(alice, connURL, i))
	}
	h.until("they wait", func() bool {
		for _, l := range *h.bus.mesh.links.Load() {
			return len(l.waiting()) == 1
		}
		return false
	})
	if _, err := stub.Listen(h.ctx, connURL, nil, client.LeadsTo(stubURL)); err != nil {
		t.Fatal(err)
	}
	ids(t, h.ctx, got, 3)
	sum := 0
	for sum < 3*sizeOf(numbered(alice, connURL, 0)) {
		sum += int(g.credit().Bytes)
	}
	g.deliver("hyperty://a.example/never", stubURL, 8, numbered(alice, carol, 9))
	if c := g.credit(); c.GetRefused().GetCode() != 404 || c.GetQueue() != 8 {
		t.Errorf("what waited in vain got %v", c)
	}
	g.deliver(carol, carol, 9, numbered(alice, carol, 1)) // nobody said that carol listens here
	g.deliver(connURL, stubURL, 7, numbered(alice, connURL, 3))
	if m := h.next(got); m.Id != message.NumberID(3) {
		t.Errorf("got %s", m.Id)
	}
}

func sizeOf(m *pb.Message) int { return proto.Size(m) }
