package bus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// side is one of two runtimes: a bus that can be restarted, its registry, its
// stubs, and clients.
type side struct {
	t        *testing.T
	name     string
	url      string
	registry *registry
	busDoor  door
	regDoor  door
	conns    []*grpc.ClientConn
	limits   Limits

	roster *roster // of the replicas of its bus; nil when it has one bus
	seat   *seat

	bus *Bus
	end func()

	direct, relay *client.Bus
	other         *side
	cut           [2]atomic.Bool // direct, relay: what is sent is lost
	duplicate     atomic.Bool
	noFlows       bool        // its bus begins none
	ignorant      atomic.Bool // it knows no flows: what comes for it has none
	clients       []func()
}

const (
	overDirect = iota
	overRelay
)

func (s *side) connURL() string { return s.url + "/p2pconnection/1" }
func (s *side) nodeURL() string { return s.url + "/protostub/node" }

// pair makes two runtimes that know each other, directly connected.
func pair(t *testing.T, l Limits) (a, b *side) {
	a, b = newSide(t, "a", l), newSide(t, "b", l)
	a.other, b.other = b, a
	for _, s := range []*side{a, b} {
		s.routesTo(true, false)
		s.start()
		s.direct = s.stub(pb.Component_COMPONENT_P2P_STUB, s.connURL(), overDirect)
		s.relay = s.stub(pb.Component_COMPONENT_NODE_STUB, s.nodeURL(), overRelay)
	}
	return a, b
}

func newSide(t *testing.T, name string, l Limits) *side {
	s := &side{
		t: t, name: name, url: "hyperty-runtime://" + name + ".example/r", registry: newRegistry(), limits: l,
	}
	s.busDoor.t, s.regDoor.t = t, t
	s.regDoor.open(func(srv *grpc.Server) { pb.RegisterRegistryServer(srv, s.registry) })
	t.Cleanup(func() {
		for _, stop := range s.clients {
			stop()
		}
		s.stop()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.regDoor.close()
	})
	return s
}

// hyperty is an address of this runtime.
func (s *side) hyperty(n int) string { return fmt.Sprintf("hyperty://%s.example/%d", s.name, n) }

func (s *side) route(to string, direct, doubt bool) *pb.Route {
	r := &pb.Route{To: to, RuntimeUrl: s.other.url, Flow: pb.FlowUse_FLOW_USE_ANNOUNCED, Next: s.nodeURL(), Reason: pb.RouteReason_ROUTE_REASON_MESSAGE_NODE}
	if direct {
		r.Next, r.Relay, r.Doubt = s.connURL(), s.nodeURL(), doubt
	}
	return r
}

// routesTo sets how the registry says the other runtime is reached, and pushes it.
func (s *side) routesTo(direct, doubt bool) {
	resp := &pb.RoutesResponse{}
	s.registry.with(func(r *registry) {
		for _, to := range []string{s.other.hyperty(1), s.other.hyperty(2), s.other.url + "/bus"} {
			r.routes[to] = s.route(to, direct, doubt)
			resp.Changes = append(resp.Changes, r.routes[to])
		}
		if r.call != nil {
			_ = r.call.Send(resp)
		}
	})
}

func (s *side) start() {
	conn := s.regDoor.conn()
	s.conns = append(s.conns, conn)
	cfg := Config{RuntimeURL: s.url, Registry: conn, Limits: s.limits, Log: quiet(), NoFlows: s.noFlows}
	if s.roster != nil {
		s.seat = s.roster.seat(fmt.Sprint(s.name, starts.Add(1)))
		cfg.Replicas, cfg.Dial = s.seat, s.seat.dial
		s.seat.take(&s.busDoor)
	}
	b, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Run(ctx)
	}()
	s.bus, s.end = b, func() {
		cancel()
		<-done
	}
	s.busDoor.open(func(srv *grpc.Server) { b.Register(srv) })
}

// stop ends the bus and forgets all that it had.
func (s *side) stop() {
	s.busDoor.close()
	s.end()
	if s.seat != nil {
		s.roster.drop(s.seat)
	}
}

func (s *side) restart() {
	s.stop()
	s.start()
}

func (s *side) attach(component pb.Component) *client.Bus {
	conn := s.busDoor.conn()
	c, err := client.New(client.Config{Conn: conn, Name: s.name, Component: component, Log: quiet()})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx)
	}()
	s.clients = append(s.clients, func() {
		cancel()
		<-done
		_ = conn.Close()
	})
	return c
}

func (s *side) app() *client.Bus { return s.attach(pb.Component_COMPONENT_APPLICATION) }

// stub carries what comes for an address to the stub of the same kind at the other
// side.
func (s *side) stub(component pb.Component, address string, way int) *client.Bus {
	c := s.attach(component)
	_, err := c.Listen(s.t.Context(), address, func(ctx context.Context, m *pb.Message) {
		if s.cut[way].Load() {
			return
		}
		to, ingress := s.other.direct, &pb.Ingress{RemoteRuntimeUrl: s.url}
		via := s.other.connURL()
		if way == overRelay {
			to, ingress, via = s.other.relay, &pb.Ingress{}, s.other.nodeURL()
		}
		m = message.Share(m)
		if s.other.ignorant.Load() {
			m = message.WithoutFlow(m)
		}
		m.Via = via
		_ = to.Send(ctx, m, client.From(ingress))
		if s.duplicate.Load() {
			_ = to.Send(ctx, message.Share(m), client.From(ingress))
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// heard collects the numbers that come for an address.
func (s *side) heard(c *client.Bus, address string) chan string {
	got := make(chan string, 100_000)
	_, err := c.Listen(s.t.Context(), address, func(_ context.Context, m *pb.Message) { got <- m.Id })
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func quick() Limits {
	l := DefaultLimits()
	l.Flow.FirstTimeout, l.Flow.MinTimeout = 100*time.Millisecond, 50*time.Millisecond
	return l
}

// conversation posts numbered messages until stopped, and checks that each comes
// once and in order.
func conversation(t *testing.T, a, b *side, n int, meanwhile func(i int)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	from, to := a.hyperty(1), b.hyperty(1)
	got := b.heard(b.app(), to)
	app := a.app()
	for i := range n {
		if meanwhile != nil {
			meanwhile(i)
		}
		for {
			err := app.Post(ctx, numbered(from, to, i))
			if err == nil {
				break
			}
			if code := fault.CodeOf(err); code != fault.TooMany && code != fault.Unavailable && code != fault.NotFound || ctx.Err() != nil {
				t.Fatalf("post %d: %v", i, err)
			}
		}
	}
	for i := range n {
		select {
		case id := <-got:
			if id != message.NumberID(int64(i)) {
				t.Fatalf("%s came in place of %d", id, i)
			}
		case <-ctx.Done():
			t.Fatalf("%d of %d came", i, n)
		}
	}
	select {
	case id := <-got:
		t.Errorf("%s came besides", id)
	default:
	}
}

func TestFlowOverBothPaths(t *testing.T) {
	a, b := pair(t, quick())
	conversation(t, a, b, 500, func(i int) {
		if i%50 == 25 {
			a.routesTo(i%100 < 50, false)
		}
	})
}

func TestFlowSurvivesALostPath(t *testing.T) {
	a, b := pair(t, quick())
	conversation(t, a, b, 300, func(i int) {
		switch i {
		case 100: // it dies and nobody says so
			a.cut[overDirect].Store(true)
			b.cut[overDirect].Store(true)
		case 200:
			a.routesTo(false, false)
			b.routesTo(false, false)
		}
	})
}

func TestFlowTakesDuplicatesOnce(t *testing.T) {
	a, b := pair(t, quick())
	a.duplicate.Store(true)
	conversation(t, a, b, 300, func(i int) {
		if i == 100 {
			a.routesTo(true, true)
		}
	})
}

func TestFlowSurvivesRestartsOfTheSendersBus(t *testing.T) {
	a, b := pair(t, quick())
	conversation(t, a, b, 400, func(i int) {
		if i%100 == 50 {
			a.restart()
		}
	})
}

func TestFlowSurvivesRestartsOfTheReceiversBus(t *testing.T) {
	a, b := pair(t, quick())
	conversation(t, a, b, 400, func(i int) {
		if i%100 == 50 {
			b.restart()
		}
	})
}

func TestFlowSurvivesAllTogether(t *testing.T) {
	a, b := pair(t, quick())
	conversation(t, a, b, 600, func(i int) {
		if i%20 != 19 {
			return
		}
		switch rand.IntN(6) {
		case 0:
			a.restart()
		case 1:
			b.restart()
		case 2:
			a.routesTo(true, true)
		case 3:
			a.routesTo(false, false)
		case 4:
			a.routesTo(true, false)
		case 5:
			a.cut[overDirect].Store(!a.cut[overDirect].Load())
		}
	})
}

// A listener that does not read holds up its own senders, and no other listener.
func TestAStalledListenerOfAFlowHoldsUpNoOther(t *testing.T) {
	l := quick()
	l.Flow.Bytes, l.FullTime = 64<<10, time.Second
	a, b := pair(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	release := make(chan struct{})
	_, err := b.app().Listen(ctx, b.hyperty(1), func(ctx context.Context, _ *pb.Message) {
		select {
		case <-release:
		case <-ctx.Done():
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer close(release)
	got := b.heard(b.app(), b.hyperty(2))
	stalled, other := a.app(), a.app()
	body := []byte(`{"x":"` + strings.Repeat("x", 1000) + `"}`)
	for {
		m := ping(a.hyperty(1), b.hyperty(1))
		m.Body = body
		if err = stalled.Post(ctx, m); err != nil {
			break
		}
	}
	if fault.CodeOf(err) != fault.TooMany {
		t.Fatalf("the sender of a stalled listener is told %v", err)
	}
	for i := range 200 {
		m := numbered(a.hyperty(1), b.hyperty(2), i)
		m.Body = body
		if err := other.Post(ctx, m); err != nil {
			t.Fatalf("post %d to the other listener: %v", i, err)
		}
		select {
		case <-got:
		case <-ctx.Done():
			t.Fatalf("%d came", i)
		}
	}
}

// A poster that fills a flow is not read from, and nothing is refused of what had been
// read: the rest of a frame, and what had waited for the route.
func TestWhoFillsAFlowIsHeldBack(t *testing.T) {
	l := quick()
	l.Flow.Bytes, l.HeldBytes, l.FullTime = 16<<10, 4<<10, time.Minute
	a, b := pair(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	release := make(chan struct{})
	const n = 500
	got := make(chan struct{}, n)
	_, err := b.app().Listen(ctx, b.hyperty(1), func(context.Context, *pb.Message) {
		<-release
		got <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	app := a.app()
	for i := range n {
		if err := app.Send(ctx, numbered(a.hyperty(1), b.hyperty(1), i)); err != nil {
			t.Fatal(err)
		}
	}
	full := awaits(ctx, func() bool { return a.bus.flows.waiting() > 0 })
	close(release)
	if !full {
		t.Fatal("the flow has room for all")
	}
	for i := range n {
		select {
		case <-got:
		case <-ctx.Done():
			t.Fatalf("%d of %d have arrived", i, n)
		}
	}
}

func TestDeliveredIsSaidWhenTheListenerHasIt(t *testing.T) {
	a, b := pair(t, quick())
	a.bus.table.grow()
	b.bus.table.grow()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var handled atomic.Int32
	if _, err := b.app().Listen(ctx, b.hyperty(1), func(context.Context, *pb.Message) { handled.Add(1) }); err != nil {
		t.Fatal(err)
	}
	app := a.app()
	for i := range 20 {
		if err := app.Post(ctx, numbered(a.hyperty(1), b.hyperty(1), i), client.Delivered()); err != nil {
			t.Fatal(err)
		}
		if n := handled.Load(); n != int32(i)+1 {
			t.Fatalf("after %d posts %d were handled", i+1, n)
		}
	}
	err := app.Post(ctx, ping(a.hyperty(1), b.hyperty(2)), client.Delivered())
	if code := fault.CodeOf(err); code != fault.NotFound && code != fault.Unavailable {
		t.Errorf("to nobody: %v", err)
	}
}

// A peer that knows no flows gets plain messages.
func TestPlainMessagesToWhoKnowsNoFlows(t *testing.T) {
	a, b := pair(t, quick())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	plain := make(chan *pb.Message, 10)
	if _, err := a.relay.Listen(ctx, a.url+"/protostub/old", func(_ context.Context, m *pb.Message) { plain <- m }); err != nil {
		t.Fatal(err)
	}
	a.registry.set(b.hyperty(3), a.url+"/protostub/old")
	app := a.app()
	if err := app.Post(ctx, ping(a.hyperty(1), b.hyperty(3))); err != nil {
		t.Fatal(err)
	}
	if m := <-plain; m.Flow != nil {
		t.Errorf("%v", m)
	}
}

// A bus that is to begin no flows sends plain messages to who knows them, also below the
// address of a runtime that has sent some itself, and takes what comes in a flow.
func TestABusWithoutFlowsOfItsOwn(t *testing.T) {
	a, b := pair(t, quick())
	a.noFlows = true
	a.restart()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conversation(t, b, a, 100, func(int) {})
	plain := make(chan *pb.Message, 10)
	if _, err := a.direct.Listen(ctx, a.url+"/p2pconnection/2", func(_ context.Context, m *pb.Message) {
		if m.Type == message.FlowType && len(m.Flow.GetAcks()) > 0 && m.Flow.Sequence == 0 {
			return // it says of the conversation what has come, by whatever way there is
		}
		plain <- m
	}); err != nil {
		t.Fatal(err)
	}
	app := a.app()
	for _, to := range []string{b.hyperty(3), b.url + "/somebody"} {
		r := a.route(to, true, false)
		r.Next = a.url + "/p2pconnection/2"
		a.registry.with(func(reg *registry) { reg.routes[to] = r })
		if err := app.Post(ctx, ping(a.hyperty(1), to)); err != nil {
			t.Fatal(err)
		}
		if m := <-plain; m.Flow != nil || m.To != to {
			t.Errorf("%v", m)
		}
	}
	if n := a.outs(); n != 0 {
		t.Errorf("%d flows began", n)
	}
}

// pushRoute sets a route of the other runtime's listener, and pushes it.
func (s *side) pushRoute(change func(*pb.Route)) {
	r := s.route(s.other.hyperty(1), false, false)
	change(r)
	s.registry.with(func(reg *registry) {
		reg.routes[r.To] = r
		if reg.call != nil {
			_ = reg.call.Send(&pb.RoutesResponse{Changes: []*pb.Route{r}})
		}
	})
}

func unknownFlow(r *pb.Route)   { r.RuntimeUrl, r.Flow = "", pb.FlowUse_FLOW_USE_UNKNOWN }
func unannounced(r *pb.Route)   { r.RuntimeUrl, r.Flow = "", pb.FlowUse_FLOW_USE_UNSPECIFIED }
func (s *side) outs() (out int) { out, _ = s.bus.flows.sizes(); return out }

// The first messages leave before it is known whose address it is; then the flow of
// its runtime takes over. The way that loses everything for a while does not matter.
func TestAProvisionalFlowBecomesThatOfItsRuntime(t *testing.T) {
	a, b := pair(t, quick())
	a.pushRoute(unknownFlow)
	conversation(t, a, b, 300, func(i int) {
		switch i {
		case 50:
			a.cut[overRelay].Store(true)
		case 60:
			a.cut[overRelay].Store(false)
		case 100:
			a.pushRoute(func(*pb.Route) {})
		case 200: // looked up again, from nothing
			a.pushRoute(func(r *pb.Route) { r.Next = "" })
			a.pushRoute(unknownFlow)
		}
	})
	eventually(t, "the provisional flow is over", func() bool {
		a.bus.flows.mu.RLock()
		defer a.bus.flows.mu.RUnlock()
		return len(a.bus.flows.provisional) == 0
	})
}

// eventually waits for what has no event of its own.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !is() {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("it did not happen that %s", what)
		}
	}
}

// The look-up says that the runtime knows no flows: what has not left goes plain,
// before anything newer.
func TestAProvisionalFlowBecomesPlain(t *testing.T) {
	l := quick()
	l.Flow.First, l.Flow.Least = 2000, 2000
	a, b := pair(t, l)
	b.ignorant.Store(true)
	a.pushRoute(unknownFlow)
	conversation(t, a, b, 100, func(i int) {
		if i == 50 {
			a.pushRoute(unannounced)
		}
	})
	eventually(t, "no flow is left", func() bool { return a.outs() == 0 })
}

// A message goes again at once when the listener of its way is back.
func TestAFlowIsToldThatItsWayIsBack(t *testing.T) {
	l := quick()
	l.Flow.FirstTimeout, l.Flow.MinTimeout, l.Flow.MaxTimeout = time.Hour, time.Hour, time.Hour
	a, b := pair(t, l)
	a.routesTo(false, false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := b.heard(b.app(), b.hyperty(1))
	app := a.app()
	if err := app.Post(ctx, numbered(a.hyperty(1), b.hyperty(1), 1)); err != nil {
		t.Fatal(err)
	}
	<-got
	stub := a.bus.table
	stub.mu.RLock()
	s := stub.places[a.nodeURL()].own[0].stream
	stub.mu.RUnlock()
	s.cancel(nil) // the stub's stream breaks, and comes back
	if err := app.Post(ctx, numbered(a.hyperty(1), b.hyperty(1), 2)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
	case <-ctx.Done():
		t.Error("it did not come")
	}
}

// A key that was refused at the other side may try again; it is not told that the
// message is there while nobody has it.
func TestARefusedKeyIsNotTakenForDelivered(t *testing.T) {
	l := quick()
	l.ReturnTime = 100 * time.Millisecond
	a, b := pair(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn := a.busDoor.conn()
	defer func() { _ = conn.Close() }()
	post := func() error {
		_, err := pb.NewMessageBusClient(conn).Post(ctx, &pb.PostRequest{
			Message: numbered(a.hyperty(1), b.hyperty(1), 7), Wait: pb.Wait_WAIT_DELIVERED, IdempotencyKey: "k",
		})
		return err
	}
	for i := range 3 {
		if err := post(); err == nil {
			t.Fatalf("try %d is said to be delivered, and nobody listens", i)
		}
	}
	got := b.heard(b.app(), b.hyperty(1))
	if err := post(); err != nil {
		t.Fatal(err)
	}
	select {
	case id := <-got:
		if id != "7" {
			t.Errorf("%s came", id)
		}
	case <-ctx.Done():
		t.Error("it is said to be delivered, and did not come")
	}
}
