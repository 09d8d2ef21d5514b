package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

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

// Likewise a call that waits for a domain registry when its registry is deposed.
func TestARegistrationUnderWayOutlastsATerm(t *testing.T) {
	b := newBed(t)
	r := b.registry("r1", mayLead, func(c *Config) { c.Limits.LeaderWait = patience })
	first := r.leads(t)
	var once sync.Once
	b.answer(address.DomainRegistry("a.example"), func(m *pb.Message) (resp *pb.Message) {
		resp = ok(m)
		once.Do(func() {
			first.depose()
			resp = nil // never
		})
		return resp
	})
	const url = "hyperty://a.example/1"
	if _, err := r.api.Register(t.Context(), &pb.RegisterRequest{Registration: &pb.Registration{Url: url}}); err != nil {
		t.Errorf("Register: %v", err)
	}
	if second := r.leads(t); second.registrationOf(url) == nil {
		t.Error("it is not registered in the next term")
	}
	b.world.mu.Lock()
	defer b.world.mu.Unlock()
	if slices.ContainsFunc(b.world.history, func(l string) bool { return strings.HasPrefix(l, "unsubscribe ") }) {
		t.Errorf("the deposed one gives its address back: %v", b.world.history)
	}
}

// A registration that was kept alive while it was taken back is taken back once, and what
// was registered anew since stays.
func TestARefreshTakesNothingBackOfOthers(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	const url = "hyperty://a.example/1"
	for _, anew := range []bool{false, true} {
		register := func() {
			if _, err := r.Register(t.Context(), &pb.Registration{Url: url, Kind: hypertyKind}); err != nil {
				t.Fatal(err)
			}
		}
		register()
		before := r.registrationOf(url)
		if err := r.Registry.Unregister(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		if anew {
			register()
		}
		r.refresh(t.Context(), before)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := 0
	for _, l := range w.history {
		if strings.HasPrefix(l, "delete ") {
			taken++
		}
	}
	if taken != 2 {
		t.Errorf("taken back %d times: %v", taken, w.history)
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
