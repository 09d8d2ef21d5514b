package registry

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/status"
)

// without is a registry that leads and has no office: it reads the store still.
type without struct {
	pb.UnimplementedRegistryServer
	asked chan struct{}
}

func (w *without) Routes(pb.Registry_RoutesServer) error {
	select {
	case w.asked <- struct{}{}:
	default:
	}
	return errNotLeading
}

// Until the next one that leads is in office a standby goes on with what it knows, and
// does not send its buses away again and again.
func TestAStandbyWaitsForTheOffice(t *testing.T) {
	b := newBed(t)
	leader := b.registry("r1", mayLead, nil)
	leader.leads(t)
	standby := b.registry("r2", onlyStands, func(c *Config) { c.Limits.LeaderWait = patience })
	addr := runtimeA + "/other"
	bus := (&running{api: standby.api}).routes(t)
	if route := bus.ask(addr); route.Code != int32(fault.NotFound) {
		t.Fatalf("the route is %v", route)
	}
	leader.stop()
	waitNobodyLeads(t, standby)
	group, _ := b.join(Kind, "r3")
	next := &without{asked: make(chan struct{}, 3)}
	b.serveAt("r3:1", func(s grpc.ServiceRegistrar) { pb.RegisterRegistryServer(s, next) })
	b.run(func(ctx context.Context) error {
		return group.Lead(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil })
	})
	for range 3 {
		select {
		case <-next.asked:
		case <-time.After(patience):
			t.Fatal("the next one is not asked")
		}
	}
	if route := bus.ask(addr); route.Code != int32(fault.NotFound) {
		t.Errorf("without office: %v", route)
	}
}

// A standby answers out of what it knows, forwards the rest, and goes on with what it
// knows while nobody leads.
func TestAStandbyAnswers(t *testing.T) {
	b := newBed(t)
	s := b.stub("s1")
	leader := b.registry("r1", mayLead, nil)
	first := leader.leads(t)
	standby := b.registry("r2", onlyStands, func(c *Config) { c.Limits.LeaderWait = patience })
	s.has(handler, "")
	remote, addr := owned(b, "s1", "s1")
	bus := (&running{api: standby.api}).routes(t)
	if route := bus.ask(addr); route.Next != nodeB {
		t.Fatalf("the first message goes to %v", route)
	}
	b.live(t, first, s, remote)
	c := first.state(t, remote, status.Live)
	bus.leads(addr, c.P2PConnectionUrl)

	if _, err := standby.api.Register(t.Context(), &pb.RegisterRequest{Registration: &pb.Registration{Url: "hyperty://a.example/1"}}); err != nil {
		t.Fatal(err)
	}
	if err := bus.source(&pb.SourceQuery{From: "hyperty://a.example/1"}); err.Code != 200 {
		t.Errorf("its source: %v", err)
	}
	if r, err := standby.api.GetRuntime(t.Context(), &pb.GetRuntimeRequest{}); err != nil || r.LeaderAddr != "r1:1" {
		t.Errorf("the runtime is %v: %v", r, err)
	}
	watch, err := standby.api.WatchConnections(t.Context(), &pb.WatchConnectionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for live := false; !live; {
		resp, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range resp.Connections {
			live = live || got.Id == c.Id && got.State == liveState
		}
	}

	leader.stop()
	waitNobodyLeads(t, standby)
	again := (&running{api: standby.api}).routes(t) // another bus
	if route := again.ask(addr); route.Next != c.P2PConnectionUrl {
		t.Errorf("while nobody leads: %v", route)
	}
	if err := again.source(&pb.SourceQuery{From: "hyperty://a.example/1"}); err.Code != 200 {
		t.Errorf("its source: %v", err)
	}
	all, err := standby.api.ListRegistrations(t.Context(), &pb.ListRegistrationsRequest{})
	if err != nil || len(all.Registrations) != 1 {
		t.Errorf("registered is %v: %v", all, err)
	}
	if got, err := standby.api.GetConnection(t.Context(), &pb.GetConnectionRequest{Connection: remote}); err != nil || got.Connection.Id != c.Id {
		t.Errorf("the entry is %v: %v", got, err)
	}
	if r, err := standby.api.GetRuntime(t.Context(), &pb.GetRuntimeRequest{}); err != nil || len(r.Components) != 2 || !r.Components[0].Connected || r.Components[1].Connected {
		t.Errorf("the runtime is %v: %v", r, err)
	}

	// What waits meanwhile is answered by the next one that leads.
	asked := make(chan error, 1)
	go func() {
		_, err := standby.api.Disconnect(t.Context(), &pb.DisconnectRequest{Connection: remote})
		asked <- err
	}()
	next := b.registry("r3", mayLead, nil)
	if err := <-asked; err != nil {
		t.Errorf("Disconnect: %v", err)
	}
	for _, left := range next.leads(t).Connections() { // a bus that asks again has another set up
		if left.Id == c.Id {
			t.Errorf("left is %v", left)
		}
	}
}

func waitNobodyLeads(t *testing.T, r *registryReplica) {
	t.Helper()
	late := time.After(patience)
	for {
		_, leader, changed := r.who()
		r.standby.relayed.mu.Lock()
		up := r.standby.relayed.up
		r.standby.relayed.mu.Unlock()
		if leader == nil && !up {
			return
		}
		again := time.After(time.Millisecond)
		select {
		case <-changed:
		case <-again:
		case <-late:
			t.Fatal("someone leads still")
		}
	}
}

// Without anyone who leads a call ends in bounded time, and says why; so does one that
// was forwarded to the wrong replica, which goes no further.
func TestNobodyLeads(t *testing.T) {
	b := newBed(t)
	standby := b.registry("r1", onlyStands, func(c *Config) { c.Limits.LeaderWait = 50 * time.Millisecond })
	_, err := standby.api.Connect(t.Context(), &pb.ConnectRequest{Address: bob})
	if fault.CodeOf(err) != fault.Unavailable || fault.From(err).Description != nobodyLeads(standby.cfg.Group).Description {
		t.Errorf("Connect: %v", err)
	}
	bus := (&running{api: standby.api}).routes(t)
	if route := bus.ask(bob); route.Code != int32(fault.Unavailable) {
		t.Errorf("a route: %v", route)
	}
	if a := bus.source(&pb.SourceQuery{From: bob}); a.Code != int32(fault.Unavailable) {
		t.Errorf("a source: %v", a)
	}
	ctx := standby.standby.forwarding(t.Context())
	_, err = standby.api.Connect(ctx, &pb.ConnectRequest{Address: bob})
	if fault.From(err).Field != errNotLeading.Field {
		t.Errorf("forwarded: %v", err)
	}
	stream, err := standby.api.Routes(ctx)
	if err == nil {
		_, err = stream.Recv()
	}
	if fault.From(err).Field != errNotLeading.Field {
		t.Errorf("forwarded routes: %v", err)
	}
}

// What comes to the handler while the registry is not attached yet is not refused for
// good.
func TestTheHandlerIsAboutToBeListenedTo(t *testing.T) {
	b := newBed(t)
	r := b.registry("r1", mayLead, nil)
	running := r.leads(t)
	bus := running.routes(t)
	if route := bus.ask(running.handler); route.Code != int32(fault.Unavailable) || route.Reason != pb.RouteReason_ROUTE_REASON_NO_ROUTE {
		t.Errorf("the route is %v", route)
	}
	if route := bus.ask(runtimeA + "/other"); route.Code != int32(fault.NotFound) {
		t.Errorf("the route of another one is %v", route)
	}
}
