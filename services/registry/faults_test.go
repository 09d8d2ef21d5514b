package registry

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// brokenStore is a store that takes nothing while it is broken.
type brokenStore struct {
	jetstream.JetStream
	broken atomic.Bool
}

func (b *brokenStore) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if b.broken.Load() {
		return nil, errors.New("the disk is full")
	}
	return b.JetStream.PublishMsg(ctx, m, opts...)
}

// What the store does not give up is still registered, so that it can be
// unregistered again; what it does not take leaves nothing in the domain.
func TestARegistrationThatTheStoreRefuses(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	const one, two = "hyperty://a.example/1", "hyperty://a.example/2"
	ctx := t.Context()
	if err := r.ready(ctx); err != nil {
		t.Fatal(err)
	}
	disk := &brokenStore{JetStream: r.store.js}
	r.store.js = disk
	if _, err := r.Register(ctx, &pb.Registration{Url: one}); err != nil {
		t.Fatal(err)
	}
	disk.broken.Store(true)
	if err := r.Unregister(ctx, one); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("unregistered from a broken store: %v", err)
	}
	if len(r.Registrations(pb.RegistrationKind_REGISTRATION_KIND_UNSPECIFIED)) != 1 {
		t.Error("it is gone here, and comes back with the next start")
	}
	if _, err := r.Register(ctx, &pb.Registration{Url: two}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("registered in a broken store: %v", err)
	}
	w.saw("delete " + runtimeA + `/registry -> domain://registry.a.example {"value":{"url":"` + two + `"}}`)
	disk.broken.Store(false)
	if err := r.Unregister(ctx, one); err != nil {
		t.Errorf("the second time: %v", err)
	}
	w.saw("delete " + runtimeA + `/registry -> domain://registry.a.example {"value":{"url":"` + one + `"}}`)
}

// Registering again what is registered may be refused; what was there stays
// reachable.
func TestARegistrationThatCannotBeChanged(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	registration := &pb.Registration{Url: "hyperty://a.example/1"}
	if _, err := r.Register(t.Context(), registration); err != nil {
		t.Fatal(err)
	}
	w.answer(address.DomainRegistry("a.example"), func(m *pb.Message) *pb.Message {
		return message.Refuse(m, fault.New(fault.Unavailable, "full"))
	})
	if _, err := r.Register(t.Context(), registration); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("registered again: %v", err)
	}
	if _, err := r.Register(t.Context(), &pb.Registration{Url: "hyperty://a.example/2"}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("another: %v", err)
	}
	unsubscribe := "unsubscribe " + runtimeA + "/ua -> domain://msg-node.a.example/sm "
	w.until("the other one is given back", func() bool { return hasPrefix(w.log, unsubscribe, "hyperty://a.example/2") })
	w.mu.Lock()
	defer w.mu.Unlock()
	if hasPrefix(w.history, unsubscribe, "hyperty://a.example/1") {
		t.Error("the Message Node does not bring it any more")
	}
}

// While the P2P stub is away, messages to a live peer take the Message Node.
func TestThePeersAreReachedWithoutTheP2PStub(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	stub, url := w.goLive(t, r, bus)
	w.saw("watch p2pstub")
	w.tell(nil)
	if route := bus.pushed(bob); route.Next != nodeB {
		t.Errorf("without the stub: %v", route)
	}
	w.saw("watch p2pstub")
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true, Stubs: []string{stub}, Peers: []*pb.Peer{
		{StubUrl: stub, Role: requester, RemoteRuntimeUrl: runtimeB, State: status.Live.Proto()},
	}})
	if route := bus.pushed(bob); route.Next != url {
		t.Errorf("with a stub that kept the connection: %v", route)
	}
}

// A domain registry that cannot be asked refutes nothing.
func TestASourceThatCannotBeVerifiedNow(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	w.answer(address.DomainRegistry("b.example"), func(m *pb.Message) *pb.Message {
		return message.Refuse(m, fault.New(fault.Unavailable, "no session with the Message Node"))
	})
	q := &pb.SourceQuery{From: bob, RemoteRuntimeUrl: runtimeB}
	if a := bus.source(q); a.Code != 503 {
		t.Errorf("while the node is away: %v", a)
	}
	if _, err := r.Connect(t.Context(), bob); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a connection while the node is away: %v", err)
	}
	w.answer(address.DomainRegistry("b.example"), found(runtimeB, handlerB))
	if a := bus.source(proto.CloneOf(q)); a.Code != 200 {
		t.Errorf("with the node back: %v", a)
	}
}

// What a domain registry said once is asked again in time; a live connection
// keeps the address meanwhile, so that nothing leaves it.
func TestAnAddressStaysWithItsLiveConnection(t *testing.T) {
	w := newWorld(t)
	var now atomic.Int64
	r := w.start(openEngine(t), func(c *Config) {
		c.Now = func() time.Time { return time.Unix(1_000_000+now.Load(), 0) }
		c.Limits.Retention = 1000 * time.Hour
	})
	bus := r.routes(t)
	_, url := w.goLive(t, r, bus)
	if route := bus.ask(bob); route.Next != url {
		t.Fatalf("%v", route)
	}
	lookup := "read " + runtimeA + `/registry -> domain://registry.b.example {"resource":"` + bob + `"}`
	w.saw(lookup)
	// The domain registry cannot be asked, and then says the same as before.
	w.answer(address.DomainRegistry("b.example"), func(m *pb.Message) *pb.Message {
		return message.Refuse(m, fault.New(fault.Unavailable, "no session"))
	})
	for range 2 {
		now.Add(3600)
		w.saw(lookup)
		r.lookedUp(bob)
		if route := bus.ask(bob); route.Next != url {
			t.Errorf("with the place expired: %v", route)
		}
		w.answer(address.DomainRegistry("b.example"), found(runtimeB, handlerB))
	}
}

// lookedUp waits until no look-up of an entity is under way.
func (r *running) lookedUp(entity string) {
	r.mu.Lock()
	l := r.lookups[entity]
	r.mu.Unlock()
	if l != nil {
		<-l.done
	}
	r.mu.Lock() // its answer is kept when this is to be had
	defer r.mu.Unlock()
}

// A watcher that does not read costs no more than the table.
func TestAWatcherThatDoesNotRead(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	if err := r.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, blocked, end := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		said := false
		end <- r.watchConnections(t.Context(), func(*pb.WatchConnectionsResponse) error {
			if !said {
				said = true
				close(first)
				<-blocked
				return nil
			}
			return errors.New("that was all")
		})
	}()
	<-first
	for range 100 {
		if err := r.apply(event{kind: reported, remote: runtimeC, stub: r.handler, role: handler, state: status.Created}); err != nil {
			t.Fatal(err)
		}
		if err := r.Disconnect(runtimeC); err != nil {
			t.Fatal(err)
		}
	}
	r.mu.Lock()
	for w := range r.watchers {
		if len(w.dirty) != 0 {
			t.Errorf("%d entries that have come and gone are kept for it", len(w.dirty))
		}
	}
	r.mu.Unlock()
	close(blocked)
	r.stop()
	if err := <-end; err == nil {
		t.Error("the registry stops, and the watcher is not told")
	}
}

// A subscription that is only repeated is answered, and not answered with a
// subscription: two registries would go on like that for ever.
func TestARepeatedSubscription(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	own := runtimeA + "/registry"
	_, url := w.goLive(t, r, r.routes(t))
	ours := "subscribe " + own + " -> " + runtimeB + "/registry "
	count := func() (n int) {
		for _, l := range w.history {
			if strings.HasPrefix(l, ours) {
				n++
			}
		}
		return n
	}
	w.until("our own subscription", func() bool { return count() == 1 })
	subscribe := func(link string) {
		w.deliver(&pb.Message{Id: "7", Type: "subscribe", From: runtimeB + "/registry", To: own,
			Body: []byte(`{"subscribe":["` + own + `/changes"],"deltas":true,"link":"` + link + `"}`)})
		w.saw("response " + own + " -> " + runtimeB + `/registry {"code":200,"value":[],"version":1}`)
	}
	subscribe("1")
	w.saw("listen " + own + "/changes -> " + url)
	subscribe("1")
	subscribe("1")
	subscribe("2") // its registry has started anew
	w.until("our subscription, again", func() bool { return count() >= 2 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := count(); n != 2 {
		t.Errorf("%d subscriptions of ours", n)
	}
}

// What can be no domain is not tried for ever.
func TestNoDomainIsNotTriedAgain(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	w.mu.Lock()
	w.refuse = fault.New(fault.BadRequest, "no domain")
	w.mu.Unlock()
	if route := bus.ask("hyperty://a:x/1"); route.Next != "" {
		t.Fatalf("%v", route)
	}
	late, look := time.After(20*time.Second), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for wanted := 1; wanted > 0; {
		select {
		case <-look.C:
		case <-late:
			t.Fatal("it is tried again and again")
		}
		r.mu.Lock()
		wanted = len(r.wantedNodes)
		r.mu.Unlock()
	}
}

// A registry that stops in the middle of a write has nothing to warn of.
func TestAStopInAWriteIsNoTrouble(t *testing.T) {
	var said strings.Builder
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	err := r.save(stopped, runtimeB, connection{ID: "1", Remote: runtimeB, State: status.Created})
	r.stop()
	if err == nil || said.Len() > 0 {
		t.Errorf("error %v, said: %s", err, &said)
	}
}

// A handler that was live until its connection was closed is used again without a look-up;
// one of which a connection was lost, or none came about, may be another one.
func TestWhichHandlersAreKept(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := func(s status.State, handler string) *connection {
		return &connection{Remote: runtimeB, State: s, Handler: handler}
	}
	for name, c := range map[string]struct {
		before, after *connection
		kept          bool
	}{
		"live, then closed":     {entry(status.Live, handlerB), entry(status.None, ""), true},
		"live, then lost":       {entry(status.Live, handlerB), entry(status.Disconnected, ""), false},
		"it did not come about": {entry(status.InProgress, handlerB), entry(status.None, ""), false},
		"still there":           {entry(status.InProgress, handlerB), entry(status.Live, handlerB), true},
	} {
		r.known.cache.put(bob, place{runtime: runtimeB, handler: handlerB}, time.Now())
		r.noteLocked(c.before, c.after)
		if _, kept := r.known.cache.handlers[runtimeB]; kept != c.kept {
			t.Errorf("%s: kept %v", name, kept)
		}
	}
}
