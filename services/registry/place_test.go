package registry

import (
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

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
	u, err := address.ParseRuntime(remote)
	if err != nil {
		t.Fatal(err)
	}
	object := datasync.Object{
		URL: "connection://" + u.Domain + "/o", Name: datasync.ConnectionName, Schema: datasync.ConnectionSchema(u.Domain),
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

// Who has left while its invitation waits is told of where that is, whichever replica it is.
func TestTheEndOfAnInvitationIsHeardOf(t *testing.T) {
	for _, name := range []string{"s1", "s2"} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			s1, s2 := b.stub("s1"), b.stub("s2")
			running := b.registry("r1", mayLead, nil).leads(t)
			s1.has(handler, "")
			s2.has(handler, "")
			const object = "connection://b.example/o"
			ends := func(object string) {
				b.deliver(&pb.Message{
					Id: "1", Type: message.Delete, From: object + address.SubscriptionSuffix, To: running.handler,
					Body: message.MarshalBody(map[string]string{"resource": object}),
				})
			}
			remote, _ := owned(b, name, "s1", "s2")
			b.deliver(invitation(t, remote, running.handler))
			ends(object) // it does not overtake the invitation
			b.saw(name + " take create " + object + address.SubscriptionSuffix)
			b.saw(name + " take delete " + object + address.SubscriptionSuffix)
			ends(object + "2") // nobody was invited with it
			b.until("it is answered", func() bool {
				return hasPrefix(b.log, "response "+running.handler+" -> "+object+"2", "200")
			})
		})
	}
}

// An end that a P2P stub which hangs does not take holds up no invitation: another one gets
// that, long before the time that there is for it is over.
func TestTheEndOfAnInvitationHoldsUpNoOther(t *testing.T) {
	b := newBed(t)
	s1, s2 := b.stub("s1"), b.stub("s2")
	running := b.registry("r1", mayLead, func(c *Config) {
		c.Limits.DeployWait, c.Limits.TakeWait = time.Hour, 20*time.Millisecond
	}).leads(t)
	s1.has(handler, "")
	s2.has(handler, "")
	const object = "connection://b.example/o"
	remote, _ := owned(b, "s2", "s1", "s2")
	b.deliver(invitation(t, remote, running.handler))
	b.saw("s2 take create " + object + address.SubscriptionSuffix)
	b.world.mu.Lock()
	s2.hangs = true
	b.world.mu.Unlock()
	b.deliver(&pb.Message{
		Id: "1", Type: message.Delete, From: object + address.SubscriptionSuffix, To: running.handler,
		Body: message.MarshalBody(map[string]string{"resource": object}),
	})
	b.saw("s2 does not answer")
	b.deliver(invitation(t, remote, running.handler))
	s2.tell(&pb.P2PStubWatchResponse{Leaving: true})
	b.saw("s1 take create " + object + address.SubscriptionSuffix)
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
