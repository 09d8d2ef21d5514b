package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/status"
)

const (
	createdState = pb.ConnectionState_CONNECTION_STATE_CREATED
	liveState    = pb.ConnectionState_CONNECTION_STATE_LIVE
)

// owned gives a runtime, with an address in it, that belongs to a P2P stub.
func owned(b *bed, by string, among ...string) (remote, addr string) {
	var all []members.Member
	for _, name := range among {
		all = append(all, members.Member{ID: name})
	}
	for i := 0; ; i++ {
		remote = fmt.Sprintf("hyperty-runtime://b.example/%d", i)
		if m, _ := members.Owner(all, remote); m.ID == by {
			b.answer(address.DomainRegistry("b.example"), found(remote, remote+"/p2phandler/1"))
			return remote, fmt.Sprintf("hyperty://b.example/%s-%d", by, i)
		}
	}
}

// live plays a set-up by a requester until its connection is live.
func (b *bed) live(t *testing.T, r *running, s *stubReplica, remote string) (stub string) {
	t.Helper()
	stub = s.has(requester, remote)
	b.answer(stub, ok)
	s.says(stub, requester, remote, createdState)
	s.says(stub, requester, remote, liveState)
	r.state(t, remote, status.Live)
	return stub
}

func connect(t *testing.T, api pb.RegistryClient, addr string) *pb.Connection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := api.Connect(ctx, &pb.ConnectRequest{Address: addr})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Connection
}

// What is set up is at the owner of the remote runtime, and the entry says so.
func TestASetUpIsAtTheOwnerOfItsRuntime(t *testing.T) {
	b := newBed(t)
	stubs := map[string]*stubReplica{"s1": b.stub("s1"), "s2": b.stub("s2")}
	r := b.registry("r1", mayLead, nil)
	running := r.leads(t)
	for name, s := range stubs {
		h := s.has(handler, "")
		if d := stubs[name].stubs[h]; d.PublicUrl != running.handler || h == running.handler {
			t.Errorf("%s has the handler stub %v", name, d)
		}
		remote, addr := owned(b, name, "s1", "s2")
		connect(t, r.api, addr)
		b.live(t, running, s, remote)
		resp, err := r.api.GetConnection(t.Context(), &pb.GetConnectionRequest{Connection: remote})
		if err != nil || resp.Connection.Replica != name || resp.Connection.ReplicaAddr != name+":1" {
			t.Errorf("%v: %v", resp, err)
		}
	}
	b.world.mu.Lock()
	defer b.world.mu.Unlock()
	for name, s := range stubs {
		if len(s.stubs) != 2 {
			t.Errorf("%s has %v, want its handler and one requester", name, s.stubs)
		}
	}
}

// invitation is what a remote runtime sends to the handler.
func invitation(t *testing.T, remote, to string) *pb.Message {
	t.Helper()
	object := datasync.Object{
		URL: "connection://b.example/o", Name: datasync.ConnectionName, Schema: datasync.ConnectionSchema("b.example"),
		Reporter: remote + "/p2prequester/1", Runtime: remote,
	}
	r, err := datasync.NewReporter(object, datasync.Connection{Runtime: remote, Owner: object.Reporter}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r.Invite(to)
}

// An invitation is taken by exactly one: the one that has something with the remote
// runtime, else its owner. What is no invitation is answered here.
func TestAnInvitationIsTakenByOne(t *testing.T) {
	b := newBed(t)
	s1, s2 := b.stub("s1"), b.stub("s2")
	r := b.registry("r1", mayLead, nil)
	running := r.leads(t)
	h1, _ := s1.has(handler, ""), s2.has(handler, "")
	remote, _ := owned(b, "s2", "s1", "s2")
	for range 2 { // repeated
		b.deliver(invitation(t, remote, running.handler))
		b.saw("s2 take create connection://b.example/o/subscription")
	}
	// Where the connection is, whoever owns the runtime by now.
	other, _ := owned(b, "s2", "s1", "s2")
	b.answer(h1, ok)
	s1.says(h1, handler, other, createdState)
	running.state(t, other, status.Created)
	b.deliver(invitation(t, other, running.handler))
	b.saw("s1 take create connection://b.example/o/subscription")

	m := invitation(t, runtimeA, running.handler)
	b.deliver(m)
	b.until("it is refused", func() bool {
		return hasPrefix(b.log, "response "+running.handler+" -> "+m.From, `a runtime cannot connect to itself"}`)
	})
	b.world.mu.Lock()
	defer b.world.mu.Unlock()
	for _, l := range b.log {
		if l == "s1 take create connection://b.example/o/subscription" || l == "s2 take create connection://b.example/o/subscription" {
			t.Errorf("it was taken again: %s", l)
		}
	}
}

// A P2P stub that hangs has not all the time that there is for an invitation: when it is
// found gone, another one gets it.
func TestAnInvitationLeavesAP2PStubThatHangs(t *testing.T) {
	b := newBed(t)
	s1, s2 := b.stub("s1"), b.stub("s2")
	r := b.registry("r1", mayLead, func(c *Config) {
		c.Limits.DeployWait, c.Limits.TakeWait = patience, 20*time.Millisecond
	})
	running := r.leads(t)
	s1.has(handler, "")
	s2.has(handler, "")
	remote, _ := owned(b, "s2", "s1", "s2")
	b.world.mu.Lock()
	s2.hangs = true
	b.world.mu.Unlock()
	b.deliver(invitation(t, remote, running.handler))
	b.saw("s2 does not answer")
	s2.tell(&pb.P2PStubWatchResponse{Leaving: true}) // as if its membership had ended
	b.saw("s1 take create connection://b.example/o/subscription")
}

// What a P2P stub has that is lost, or leaves, is set up at another at once, whichever
// side has set it up before; messages take the Message Node meanwhile.
func TestWhatAP2PStubHadIsSetUpElsewhere(t *testing.T) {
	for name, lose := range map[string]func(*stubReplica){
		"its server is gone": func(s *stubReplica) { s.halt() },
		"it leaves":          func(s *stubReplica) { s.tell(&pb.P2PStubWatchResponse{Leaving: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			s1, s2 := b.stub("s1"), b.stub("s2")
			r := b.registry("r1", mayLead, func(c *Config) { c.Limits.RetryMin = time.Hour })
			running := r.leads(t)
			h1, _ := s1.has(handler, ""), s2.has(handler, "")
			remote, addr := owned(b, "s1", "s1", "s2")
			bus := running.routes(t)
			if route := bus.ask(addr); route.Next != nodeB {
				t.Fatalf("the first message goes to %v", route)
			}
			b.live(t, running, s1, remote)
			invited := runtimeC
			b.answer(h1, ok)
			s1.says(h1, handler, invited, createdState)
			s1.says(h1, handler, invited, liveState)
			there := running.state(t, invited, status.Live).P2PConnectionUrl
			bus.leads(addr, running.state(t, remote, status.Live).P2PConnectionUrl)

			b.answer(address.DomainRegistry("c.example"), found(runtimeC, runtimeC+"/p2phandler/1"))
			if route := bus.ask("hyperty://c.example/1"); route.Next != there {
				bus.leads("hyperty://c.example/1", there) // its runtime is known, with its handler
			}
			lose(s1)
			route := bus.pushed(addr)
			if route.Next == "" { // taken back, before its new set-up has begun
				route = bus.ask(addr)
			}
			if route.Next != nodeB {
				t.Fatalf("it goes to %v meanwhile", route)
			}
			stub := b.live(t, running, s2, remote)
			c := running.state(t, remote, status.Live)
			if c.Replica != "s2" || c.StubUrl != stub {
				t.Errorf("the entry is %v", c)
			}
			bus.leads(addr, c.P2PConnectionUrl)
			b.live(t, running, s2, invited) // which had set it up itself
		})
	}
}

// The registry that comes after another goes on with what is under way, and is told
// apart from it by its term.
func TestTakeoverInTheMiddleOfASetUp(t *testing.T) {
	b := newBed(t)
	s := b.stub("s1")
	one := b.registry("r1", mayLead, nil)
	first := one.leads(t)
	two := b.registry("r2", mayLead, nil)
	s.has(handler, "")
	remote, addr := owned(b, "s1", "s1")
	entry := connect(t, two.api, addr) // which forwards it
	stub := s.has(requester, remote)
	b.answer(stub, ok)
	s.says(stub, requester, remote, createdState)
	first.state(t, remote, status.Created)
	term := first.term()
	one.stop()
	second := two.leads(t)
	s.says(stub, requester, remote, liveState)
	c := second.state(t, remote, status.Live)
	if c.Id != entry.Id || c.StubUrl != stub || c.Replica != "s1" {
		t.Errorf("the entry was %v and is %v", entry, c)
	}
	if second.term() <= term || second.handler != first.handler {
		t.Errorf("term %d follows %d, handler %s follows %s", second.term(), term, second.handler, first.handler)
	}
	b.world.mu.Lock()
	defer b.world.mu.Unlock()
	if s.term != second.term() {
		t.Errorf("the P2P stub heeds term %d, want %d", s.term, second.term())
	}
}

// Of two registries that believe that they lead on one store, the one that began first
// writes nothing any more, also nothing that the other has not touched, and stops.
func TestADeposedRegistryWritesNothing(t *testing.T) {
	w := newWorld(t)
	e := openEngine(t)
	conn, stop := w.serve()
	defer stop()
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	old, err := newRegistry(Config{
		RuntimeURL: runtimeA, P2PStub: pb.NewP2PStubClient(conn), NodeStub: pb.NewNodeStubClient(conn), Bus: conn,
		Engine: e, Log: testLog(t),
	}, m)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- old.Run(ctx) }()
	if err := old.ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := old.store.saveConnection(ctx, connection{
		ID: "1", Remote: runtimeB, State: status.Created, Transitions: []transition{{State: status.Created, Time: time.Now()}},
	}); err != nil {
		t.Fatal(err)
	}
	r := w.start(e, nil)
	if err := old.apply(event{kind: wanted, remote: runtimeC, stub: address.Requester(runtimeA, "1"), role: requester, handler: "h"}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, errDeposed) {
			t.Errorf("the deposed one ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("the deposed one goes on")
		cancel()
		<-ended
	}
	if err := old.store.removeConnection(ctx, runtimeB); !errors.Is(err, errDeposed) {
		t.Errorf("it removes an entry: %v", err)
	}
	if all := storedEntries(t, r.store); len(all) != 1 || all[0] != key(connectionPrefix, runtimeB) {
		t.Errorf("the store has %v", all)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.history {
		if l == "deploy requester "+runtimeC {
			t.Error("it acted on what it could not write")
		}
	}
}

// Many writes at once of one registry do not refuse one another.
func TestWritesOfOneTerm(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	errs := make(chan error)
	for i := range 50 {
		go func() {
			remote := fmt.Sprintf("hyperty-runtime://b.example/%d", i)
			err := r.store.saveConnection(t.Context(), connection{ID: "1", Remote: remote, State: status.Created})
			if err == nil && i%2 == 0 {
				err = r.store.removeConnection(t.Context(), remote)
			}
			errs <- err
		}()
	}
	for range 50 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if all := storedEntries(t, r.store); len(all) != 25 {
		t.Errorf("%d entries are left", len(all))
	}
}

// storedEntries gives the keys of the entries that a store has now.
func storedEntries(t *testing.T, s *store) (entries []string) {
	t.Helper()
	all, err := s.kv.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if strings.HasPrefix(k, connectionPrefix) {
			entries = append(entries, k)
		}
	}
	return entries
}

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

// A call that a registry cannot write any more is made by the next one that leads, and the
// one that is deposed takes back nothing of it: it may be the next one's by then.
func TestACallOutlastsATerm(t *testing.T) {
	b := newBed(t)
	r := b.registry("r1", mayLead, func(c *Config) { c.Limits.LeaderWait = patience })
	first := r.leads(t)
	other, err := openStore(t.Context(), b.engine, runtimeA)
	if err == nil {
		err = other.begin(t.Context(), time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
	const url = "hyperty://a.example/1"
	if _, err := r.api.Register(t.Context(), &pb.RegisterRequest{Registration: &pb.Registration{Url: url}}); err != nil {
		t.Errorf("Register: %v", err)
	}
	second := r.leads(t)
	if second.Registry == first.Registry || second.registrationOf(url) == nil {
		t.Error("it is not registered in the next term")
	}
	if err := other.begin(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	_, err = r.api.Unregister(t.Context(), &pb.UnregisterRequest{Url: url})
	if err != nil {
		t.Errorf("Unregister: %v", err)
	}
	b.world.mu.Lock()
	defer b.world.mu.Unlock()
	taken := 0
	for _, l := range b.world.history {
		if strings.HasPrefix(l, "delete ") {
			taken++
		}
	}
	if taken != 1 {
		t.Errorf("taken back %d times: %v", taken, b.world.history)
	}
}

// A registry that is told by a P2P stub that it is deposed does not take the address of a
// stub away from the next one.
func TestTheDeposedLeavesAStubItsAddress(t *testing.T) {
	b := newBed(t)
	s := b.stub("s1")
	r := b.registry("r1", mayLead, nil)
	running := r.leads(t)
	s.has(handler, "")
	remote, addr := owned(b, "s1", "s1")
	connect(t, r.api, addr)
	stub := b.live(t, running, s, remote)
	b.world.mu.Lock()
	s.term += 1000
	b.world.mu.Unlock()
	if err := running.Disconnect(remote); err != nil {
		t.Fatal(err)
	}
	select {
	case <-running.deposed:
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	r.stop()
	b.world.mu.Lock()
	defer b.world.mu.Unlock()
	for _, l := range b.world.history {
		if strings.HasPrefix(l, "unsubscribe "+runtimeA+"/ua") && strings.Contains(l, stub) {
			t.Error(l)
		}
	}
}

// Who is served by a registry that is deposed while its lease lasts is sent away: it would
// hear of no change any more.
func TestADeposedRegistryServesNobody(t *testing.T) {
	b := newBed(t)
	r := b.registry("r1", mayLead, nil)
	first := r.leads(t)
	bus := first.routes(t)
	bus.ask(runtimeA + "/other")
	watch, err := r.api.WatchConnections(t.Context(), &pb.WatchConnectionsRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	first.depose()
	for name, recv := range map[string]func() error{
		"routes": func() error { _, err := bus.stream.Recv(); return err },
		"table":  func() error { _, err := watch.Recv(); return err },
	} {
		ended := make(chan error, 1)
		go func() { ended <- recv() }()
		select {
		case err := <-ended:
			if fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("%s ends with %v", name, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s is served by nobody", name)
		}
	}
	if second := r.leads(t); second.term() < first.term() {
		t.Errorf("term %d follows %d", second.term(), first.term())
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
	if left := next.leads(t).Connections(); len(left) != 0 {
		t.Errorf("left is %v", left)
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

// Without a P2P stub there is no set-up; the first one that comes gets it.
func TestTheFirstP2PStubComesLater(t *testing.T) {
	b := newBed(t)
	r := b.registry("r1", mayLead, nil)
	running := r.leads(t)
	remote, addr := owned(b, "s1", "s1")
	if _, err := r.api.Connect(t.Context(), &pb.ConnectRequest{Address: addr}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Connect: %v", err)
	}
	bus := running.routes(t)
	if route := bus.ask(addr); route.Next != nodeB {
		t.Errorf("the route is %v", route)
	}
	s := b.stub("s1")
	s.has(handler, "")
	if route := bus.ask(addr); route.Next != nodeB {
		t.Errorf("the route is %v", route)
	}
	b.live(t, running, s, remote)
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

// A process that was started again at the address of another replica is not taken for
// that one, although the other's membership lasts a while.
func TestAnotherReplicaAtTheSameAddress(t *testing.T) {
	b := newBed(t)
	s := b.stub("s1")
	if _, stop := b.join(KindP2PStub, "old"); stop == nil {
		t.Fatal("it has not joined")
	}
	b.mu.Lock()
	b.serving["old:1"] = b.serving["s1:1"]
	b.mu.Unlock()
	r := b.registry("r1", mayLead, nil)
	running := r.leads(t)
	s.has(handler, "")
	b.until("the other one is asked for", func() bool { return s.mistaken > 0 })
	remote, addr := owned(b, "old", "s1", "old")
	connect(t, r.api, addr)
	b.live(t, running, s, remote)
	if c := running.state(t, remote, status.Live); c.Replica != "s1" {
		t.Errorf("the entry is %v", c)
	}
}

// A P2P stub that was away for a moment keeps what it has; where that was set up
// elsewhere meanwhile, it is closed.
func TestAP2PStubComesBack(t *testing.T) {
	b := newBed(t)
	s1, s2 := b.stub("s1"), b.stub("s2")
	r := b.registry("r1", mayLead, nil)
	running := r.leads(t)
	s1.has(handler, "")
	s2.has(handler, "")
	remote, addr := owned(b, "s1", "s1", "s2")
	connect(t, r.api, addr)
	stub := b.live(t, running, s1, remote)
	s1.goAway(false) // the stream breaks, and is back at once
	b.saw("s1 watched")
	b.saw("s1 watched")
	if c := running.state(t, remote, status.Live); c.Replica != "s1" || c.StubUrl != stub {
		t.Errorf("the entry is %v", c)
	}
	s1.goAway(true)
	b.live(t, running, s2, remote)
	s1.goAway(false)
	b.saw("s1 close " + stub + " ")
	if c := running.state(t, remote, status.Live); c.Replica != "s2" {
		t.Errorf("the entry is %v", c)
	}
}

// What a P2P stub has that is announced, and cannot be reached by the registry that takes
// over, is set up elsewhere.
func TestTakeoverWithAP2PStubOutOfReach(t *testing.T) {
	b := newBed(t)
	s1, s2 := b.stub("s1"), b.stub("s2")
	one := b.registry("r1", mayLead, nil)
	first := one.leads(t)
	s1.has(handler, "")
	s2.has(handler, "")
	remote, addr := owned(b, "s1", "s1", "s2")
	connect(t, one.api, addr)
	b.live(t, first, s1, remote)
	two := b.registry("r2", mayLead, func(c *Config) { c.Limits.DeployWait = 500 * time.Millisecond })
	b.world.mu.Lock()
	s1.away = true // for whoever comes now
	b.world.mu.Unlock()
	one.stop()
	second := two.leads(t)
	b.live(t, second, s2, remote)
	if c := second.state(t, remote, status.Live); c.Replica != "s2" {
		t.Errorf("the entry is %v", c)
	}
}

// What is closed while its P2P stub cannot be seen is closed when it is back.
func TestClosedWhileTheP2PStubIsAway(t *testing.T) {
	b := newBed(t)
	s := b.stub("s1")
	r := b.registry("r1", mayLead, func(c *Config) { c.Limits.ReplicaWait = patience })
	running := r.leads(t)
	s.has(handler, "")
	remote, addr := owned(b, "s1", "s1")
	connect(t, r.api, addr)
	stub := b.live(t, running, s, remote)
	b.world.mu.Lock()
	s.deaf = true
	b.world.mu.Unlock()
	s.goAway(true)
	if _, err := r.api.Disconnect(t.Context(), &pb.DisconnectRequest{Connection: remote}); err != nil {
		t.Fatal(err)
	}
	b.saw("s1 does not close " + stub)
	b.world.mu.Lock()
	s.deaf = false
	b.world.mu.Unlock()
	s.goAway(false)
	b.saw("s1 close " + stub + " ")
	if left := running.Connections(); len(left) != 0 {
		t.Errorf("left is %v", left)
	}
}
