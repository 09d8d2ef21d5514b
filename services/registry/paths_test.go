package registry

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

const (
	unspecified = pb.FlowUse_FLOW_USE_UNSPECIFIED
	unknown     = pb.FlowUse_FLOW_USE_UNKNOWN
	announced   = pb.FlowUse_FLOW_USE_ANNOUNCED
)

// foundWithFlows answers a look-up for a runtime that knows flows.
func foundWithFlows(runtime, handlerURL string) func(*pb.Message) *pb.Message {
	return func(m *pb.Message) *pb.Message {
		return message.Answer(m, 200, map[string]any{"value": map[string]any{
			"runtime": runtime, "p2pHandler": handlerURL, "flow": []string{message.FlowV1},
		}})
	}
}

func (k *knowledge) flows(runtime string) *knowledge {
	k.cache.announce(runtime, true)
	return k
}

func (k *knowledge) asked(entity string) *knowledge {
	k.cache.put(entity, place{unknown: true}, start)
	return k
}

// doubted makes B's live connection a quiet one.
func (k *knowledge) doubted() *knowledge {
	c := k.table.get(runtimeB)
	c.news.doubt = true
	k.table.put(runtimeB, c)
	return k
}

func TestWhatARouteSaysOfTheRuntime(t *testing.T) {
	const chat = "comm://b.example/1"
	live := func() *knowledge { return newKnowledge().with(status.Live, idle, bob, chat) }
	for _, tc := range []struct {
		name           string
		k              *knowledge
		to             string
		runtime, relay string
		doubt          bool
		flow           pb.FlowUse
	}{
		{"unknown so far", newKnowledge(), bob, "", "", false, unknown},
		{"its domain does not answer", newKnowledge().asked(bob), bob, "", "", false, unknown},
		{"known to be nowhere", newKnowledge().found(bob, "", ""), bob, "", "", false, unspecified},
		{"without flows", newKnowledge().found(bob, runtimeB, handlerB), bob, runtimeB, "", false, unspecified},
		{"with flows", newKnowledge().found(bob, runtimeB, handlerB).flows(runtimeB), bob, runtimeB, "", false, announced},
		{"no answer since", newKnowledge().found(bob, runtimeB, handlerB).flows(runtimeB).asked(bob), bob, runtimeB, "", false, announced},
		{"live", live().flows(runtimeB), bob, runtimeB, nodeB, false, announced},
		{"in doubt", live().flows(runtimeB).doubted(), bob, runtimeB, nodeB, true, announced},
		{"the bus of the runtime", live().flows(runtimeB), runtimeB + "/bus", runtimeB, nodeB, false, announced},
		{"without a connection", newKnowledge().flows(runtimeB), runtimeB + "/bus", runtimeB, "", false, announced},
		{"a bus that never announced", live(), runtimeB + "/bus", runtimeB, nodeB, false, unspecified},
		{"a subscription", live().flows(runtimeB), chat + "/subscription", runtimeB, nodeB, false, announced},
		{"changes", live().flows(runtimeB), chat + "/changes", runtimeB, nodeB, false, unspecified},
		{"children", live().flows(runtimeB), chat + "/children/x", runtimeB, nodeB, false, unspecified},
		{"its registration", live().flows(runtimeB), bob + "/registration", runtimeB, nodeB, false, unspecified},
		{"changes of what is unknown", newKnowledge(), "comm://b.example/2/changes", "", "", false, unspecified},
		{"a backend service", newKnowledge(), "domain://registry.b.example", "", "", false, unspecified},
		{"a stub", live().flows(runtimeB), handlerB, "", "", false, unspecified},
		{"a Connection object", live().flows(runtimeB), "connection://b.example/1", "", "", false, unspecified},
		{"a bare string", newKnowledge(), "publisher", "", "", false, unspecified},
		{"ours", newKnowledge(), "hyperty://a.example/alice", "", "", false, unspecified},
	} {
		route := tc.k.resolve(&query{to: tc.to, at: start}).route(tc.to)
		if route.RuntimeUrl != tc.runtime || route.Relay != tc.relay || route.Doubt != tc.doubt || route.Flow != tc.flow {
			t.Errorf("%s: %v", tc.name, route)
		}
	}
}

// The bus of a runtime is asked for to learn of the paths to it: that alone starts
// nothing.
func TestAskingForABusStartsNothing(t *testing.T) {
	for _, k := range []*knowledge{
		newKnowledge().found(bob, runtimeB, handlerB), newKnowledge().with(status.Disconnected, idle, bob), newKnowledge(),
	} {
		if d := k.resolve(&query{to: runtimeB + "/bus", at: start}); d.Do != (action{}) {
			t.Errorf("%+v", d)
		}
	}
}

// What has been found goes on being used while it is asked for again: a flow to
// its runtime must not be left for that.
func TestAnOldPlaceIsUsedWhileItIsAskedFor(t *testing.T) {
	k := newKnowledge().found(bob, runtimeB, handlerB).flows(runtimeB)
	at := start.Add(DefaultLimits().FoundFor)
	k.cache.expire(at, nobody)
	d := k.resolve(&query{to: bob, at: at})
	if d.Runtime != runtimeB || d.Flow != announced || d.Do.setUp != runtimeB {
		t.Errorf("due to be asked for again: %+v", d)
	}
	k.cache.forget(runtimeB) // its handler may be another one
	if d := k.resolve(&query{to: bob, at: start}); d.Runtime != runtimeB || d.Flow != announced || d.Do.lookUp != bob {
		t.Errorf("without a handler: %+v", d)
	}
	k.cache.expire(at, nobody)
	k.cache.expire(at.Add(DefaultLimits().FoundFor), nobody)
	if d := k.resolve(&query{to: bob, at: at}); d.Runtime != "" || d.Flow != unknown {
		t.Errorf("long after: %+v", d)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	l := DefaultLimits()
	l.Cache = 3
	c := newCache(l)
	for i := range 10 {
		n := string(rune('a' + i))
		c.put(n, place{runtime: n, handler: n, flow: true}, start)
	}
	if len(c.places) != 3 || len(c.handlers) != 3 || len(c.flows) != 3 {
		t.Errorf("%d places, %d handlers, %d with flows", len(c.places), len(c.handlers), len(c.flows))
	}
}

// TestARouteIsPushedWhateverOfItChanges: the first message goes at once, and the
// bus is told what is learned, also where the next hop stays the same.
func TestARouteIsPushedWhateverOfItChanges(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	w.answer(address.DomainRegistry("b.example"), foundWithFlows(runtimeB, handlerB))
	if route := bus.ask(runtimeB + "/bus"); route.Flow != unspecified || route.RuntimeUrl != runtimeB {
		t.Errorf("before anything is known: %v", route)
	}
	if route := bus.ask(bob); route.Next != nodeB || route.Flow != unknown || route.RuntimeUrl != "" {
		t.Errorf("the first: %v", route)
	}
	if route := bus.pushed(bob); route.Next != nodeB || route.Flow != announced || route.RuntimeUrl != runtimeB {
		t.Errorf("when the look-up has ended: %v", route)
	}
	if route := bus.pushed(runtimeB + "/bus"); route.Next != nodeB || route.Flow != announced {
		t.Errorf("the bus of the runtime: %v", route)
	}
	stub := w.requesterOf(runtimeB)
	w.answer(stub, ok)
	w.publish(stub, runtimeB, status.Live, "")
	url := r.state(t, runtimeB, status.Live).P2PConnectionUrl
	for _, to := range []string{bob, runtimeB + "/bus"} {
		if route := bus.leads(to, url); route.Relay != nodeB || route.Flow != announced || route.RuntimeUrl != runtimeB || route.Doubt {
			t.Errorf("live: %v", route)
		}
	}
}

// peer sends what the P2P stub's Watch says of a peer connection to B.
func (w *world) peer(stub string, s status.State, change func(*pb.Peer)) {
	w.t.Helper()
	w.until("a Watch stream", func() bool { return len(w.watches) > 0 })
	p := &pb.Peer{StubUrl: stub, Role: requester, RemoteRuntimeUrl: runtimeB, State: s.Proto()}
	if change != nil {
		change(p)
	}
	w.tell(&pb.P2PStubWatchResponse{Peers: []*pb.Peer{p}})
}

// shown waits until B's entry is as it should be.
func (r *running) shown(t *testing.T, what string, holds func(*pb.Connection) bool) *pb.Connection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := r.api.WatchConnections(ctx, &pb.WatchConnectionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var last *pb.Connection
	for {
		resp, err := stream.Recv()
		if err != nil {
			t.Fatalf("%s: %v; %v", what, last, err)
		}
		for _, c := range resp.Connections {
			if last = c; c.RemoteRuntimeUrl == runtimeB && holds(c) {
				return c
			}
		}
	}
}

func TestPaths(t *testing.T) {
	w := newWorld(t)
	metrics := prometheus.NewRegistry()
	r := w.start(openEngine(t), func(c *Config) { c.Metrics = metrics })
	bus := r.routes(t)
	stub, url := w.goLive(t, r, bus)
	w.peer(stub, status.Live, func(p *pb.Peer) {
		p.Flow, p.RoundTrip, p.Generation = true, durationpb.New(20*time.Millisecond), 1
	})
	for route := bus.pushed(bob); route.Flow != announced || route.Next != url; {
		route = bus.pushed(bob) // what the connection announces counts, too
	}
	c := r.shown(t, "direct", func(c *pb.Connection) bool { return c.RoundTrip != nil })
	if c.Path != direct || c.PathReason != "live" || c.PathSince == nil || c.Generation != 1 {
		t.Errorf("%v", c)
	}
	w.peer(stub, status.Live, func(p *pb.Peer) { p.Flow, p.Doubt = true, true })
	if route := bus.pushed(bob); !route.Doubt || route.Next != url || route.Relay != nodeB {
		t.Errorf("in doubt: %v", route)
	}
	r.shown(t, "both", func(c *pb.Connection) bool { return c.Path == both })
	w.peer(stub, status.Live, func(p *pb.Peer) { p.Flow = true })
	if route := bus.pushed(bob); route.Doubt || route.Next != url {
		t.Errorf("clear again: %v", route)
	}
	w.peer(stub, status.Disconnected, func(p *pb.Peer) { p.Reason = "quiet for 3s" })
	if route := bus.pushed(bob); route.Next != nodeB || route.Relay != "" || route.Flow != announced || route.RuntimeUrl != runtimeB {
		t.Errorf("quiet: %v", route)
	}
	r.shown(t, "relay", func(c *pb.Connection) bool { return c.Path == relay && c.PathReason == "quiet for 3s" })
	if n := gauge(t, metrics, "peerbus_registry_path_connections", "relay"); n != 1 {
		t.Errorf("%v connections by the Message Node", n)
	}
	if n := gauge(t, metrics, "peerbus_registry_path_connections", "direct"); n != 0 {
		t.Errorf("%v direct connections", n)
	}
	w.peer(stub, status.Live, func(p *pb.Peer) { p.Flow = true })
	bus.leads(bob, url)
}

// gauge reads the value of a metric with one label.
func gauge(t *testing.T, from prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && (label == "" || m.Label[0].GetValue() == label) {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s{%s}", name, label)
	return 0
}

// observations is how many observations a histogram has.
func observations(t *testing.T, from prometheus.Gatherer, name string) uint64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].GetHistogram().GetSampleCount()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// The stub of the other way is deployed before it is needed, which is tried until it
// succeeds.
func TestTheOtherWayIsDeployedInTheBackground(t *testing.T) {
	w := newWorld(t)
	w.refuse = fault.New(fault.Unavailable, "starting")
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	w.until("a Watch stream", func() bool { return len(w.watches) > 0 })
	if route := bus.ask(runtimeB + "/bus"); route.Next != "" || route.Code != 503 {
		t.Errorf("without any way: %v", route)
	}
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true})
	h := w.handlerOf()
	w.answer(h, ok)
	w.saw("listen " + h + "/status")
	w.publish(h, runtimeB, status.Live, "")
	url := r.state(t, runtimeB, status.Live).P2PConnectionUrl
	if route := bus.leads(runtimeB+"/bus", url); route.Relay != nodeB {
		t.Errorf("without a Message Node stub: %v", route)
	}
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	w.until("it is deployed", func() bool { return w.domains["b.example"] == nodeB })
	w.publish(h, runtimeB, status.Disconnected, "quiet for 3s")
	if route := bus.leads(runtimeB+"/bus", nodeB); route.Code != 0 {
		t.Errorf("quiet: %v", route)
	}
}

// The route of a runtime's bus is asked for once: it is not taken back, and comes
// when it can.
func TestTheRouteOfABusComesWhenItCan(t *testing.T) {
	w := newWorld(t)
	w.refuse = fault.New(fault.Unavailable, "starting")
	r := w.start(openEngine(t), func(c *Config) { c.Limits.Told = 3 })
	bus := r.routes(t)
	if route := bus.ask(runtimeB + "/bus"); route.Next != "" || route.Code != 503 {
		t.Errorf("without a Message Node stub: %v", route)
	}
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	if route := bus.pushed(runtimeB + "/bus"); route.Next != nodeB {
		t.Errorf("with one: %v", route)
	}
	for _, to := range []string{"a", "b", "c", "d", "e"} {
		bus.ask(to)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for b := range r.buses {
		if b.routes[runtimeB+"/bus"] == nil || len(b.routes) > 3 {
			t.Errorf("%d routes are kept: %v", len(b.routes), b.routes)
		}
	}
}

// What is lost comes back without a message; the handler stub is looked up again
// after a failure.
func TestItIsSetUpAgainWithoutAMessage(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) { c.Limits.RetryMin = time.Nanosecond })
	w.until("a Watch stream", func() bool { return len(w.watches) > 0 })
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true})
	stub, url := w.goLive(t, r, r.routes(t))
	w.peer(stub, status.Disconnected, func(p *pb.Peer) { p.Reason, p.Gone = "two restarts of ICE failed", true })
	w.saw("close " + stub + " ")
	second := w.requesterOf(runtimeB)
	w.answer(address.DomainRegistry("b.example"), found(runtimeB, handlerB+"-new"))
	w.publish(second, runtimeB, status.Failed, "the invitation was refused")
	w.saw("close " + second + " ")
	third := w.requesterOf(runtimeB)
	w.until("the new handler", func() bool { return w.stubs[third].GetP2PHandler() == handlerB+"-new" })
	w.answer(third, ok)
	w.publish(third, runtimeB, status.Live, "")
	if c := r.state(t, runtimeB, status.Live); c.P2PConnectionUrl != url || c.StubUrl != third {
		t.Errorf("%v", c)
	}
}

// Nothing is tried for ever, and nothing at all of what cannot be found.
func TestAttemptsEnd(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) { c.Limits.RetryMin, c.Limits.Retries = time.Nanosecond, 4 })
	w.until("a Watch stream", func() bool { return len(w.watches) > 0 })
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true})
	stub, _ := w.goLive(t, r, r.routes(t))
	w.answer(address.DomainRegistry("b.example"), missing)
	w.peer(stub, status.Disconnected, func(p *pb.Peer) { p.Gone = true })
	w.saw("close " + stub + " ")
	second := w.requesterOf(runtimeB)
	w.publish(second, runtimeB, status.Failed, "the invitation was refused")
	c := r.shown(t, "the end of the attempts", func(c *pb.Connection) bool { return c.Attempts == 4 })
	if c.Reason != "its handler stub is not known" || c.Path != relay {
		t.Errorf("%v", c)
	}
	r.tick()
	if c := r.Connections()[0]; c.Attempts != 4 {
		t.Errorf("%v", c)
	}
}

// A worn connection is replaced while messages go on over it.
func TestReplacement(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) { c.Limits.Drain = 50 * time.Millisecond })
	bus := r.routes(t)
	w.until("a Watch stream", func() bool { return len(w.watches) > 0 })
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true})
	w.answer(address.Registry(runtimeB), func(m *pb.Message) *pb.Message {
		return message.Answer(m, 200, map[string]any{"value": []string{bob}, "version": 4})
	})
	old, url := w.goLive(t, r, bus)
	own := runtimeA + "/registry"
	w.deliver(&pb.Message{Id: "7", Type: "subscribe", From: runtimeB + "/registry", To: own, Body: []byte(`{"subscribe":["` + own + `/changes"]}`)})
	w.saw("listen " + own + "/changes -> " + url)
	w.saw("listen " + runtimeB + "/registry/changes")
	var states []pb.ConnectionState
	watching, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	stream, err := r.api.WatchConnections(watching, &pb.WatchConnectionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		for {
			resp, err := stream.Recv()
			if err != nil {
				return
			}
			for _, c := range resp.Connections {
				states = append(states, c.State)
			}
		}
	}()

	w.peer(old, status.Live, func(p *pb.Peer) { p.Worn = true })
	var stub string
	w.until("a requester that replaces it", func() bool {
		for url, d := range w.stubs {
			if d.Replace && d.RemoteRuntimeUrl == runtimeB && d.P2PHandler == handlerB {
				stub = url
			}
		}
		return stub != ""
	})
	w.answer(stub, ok)
	w.peer(stub, status.InProgress, nil)
	w.peer(stub, status.Live, nil)
	c := r.shown(t, "the new stub", func(c *pb.Connection) bool { return c.StubUrl == stub })
	if c.P2PConnectionUrl == url || c.Path != direct {
		t.Errorf("%v", c)
	}
	bus.leads(bob, c.P2PConnectionUrl)
	w.saw("close " + old + " ")
	w.saw("unlisten " + url + " -> " + old)
	subscribe := "subscribe " + own + " -> "
	w.order("listen "+c.P2PConnectionUrl+" -> "+stub, subscribe+stub, "listen "+own+"/changes -> "+c.P2PConnectionUrl,
		"unlisten "+own+"/changes -> "+url, subscribe+runtimeB+"/registry", "unlisten "+url+" -> "+old)
	w.order("listen "+c.P2PConnectionUrl, "un"+subscribe+old+` {"resource":"`+runtimeB+`","source":"`+old+`","unsubscribe":["`+url+`"]}`, "close "+old)
	stop()
	<-ended
	for _, s := range states {
		if s != status.Live.Proto() {
			t.Errorf("the entry was %v meanwhile", s)
		}
	}
	r.addresses(t, bob)
}

// After a restart of the registry the routes are what they were, as soon as the
// P2P stub has said what is up.
func TestTheRoutesAfterARestart(t *testing.T) {
	e := openEngine(t)
	w := newWorld(t)
	r := w.start(e, nil)
	stub, url := w.goLive(t, r, r.routes(t))
	w.peer(stub, status.Live, func(p *pb.Peer) { p.Flow = true })
	r.shown(t, "flows", func(*pb.Connection) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.known.announced(runtimeB)
	})
	r.saved(t, e, runtimeB, status.Live)
	r.placed(t, e, bob)
	r.stop()

	w = newWorld(t) // in which the Message Node of B's domain does not answer
	w.answer(stub, ok)
	w.answer(address.DomainRegistry("b.example"), func(m *pb.Message) *pb.Message {
		return message.Refuse(m, fault.New(fault.Unavailable, "no session"))
	})
	r = w.start(e, nil)
	bus := r.routes(t)
	if route := bus.ask(bob); route.Next != nodeB || route.RuntimeUrl != runtimeB || route.Flow != announced {
		t.Errorf("where it was is forgotten: %v", route)
	}
	if route := bus.ask(runtimeB + "/bus"); route.Next != nodeB || route.Flow != announced {
		t.Errorf("before the P2P stub has said what is up: %v", route)
	}
	w.until("a Watch stream", func() bool { return len(w.watches) > 0 })
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true, Stubs: []string{stub}, Peers: []*pb.Peer{
		{StubUrl: stub, Role: requester, RemoteRuntimeUrl: runtimeB, State: status.Live.Proto(), Flow: true, Doubt: true},
	}})
	if route := bus.leads(runtimeB+"/bus", url); route.Relay != nodeB || !route.Doubt || route.Flow != announced {
		t.Errorf("live: %v", route)
	}
}

func nobody(string) bool { return false }

// placed waits until the store knows where an address is.
func (r *running) placed(t *testing.T, e *engine.Engine, entity string) {
	t.Helper()
	awaitStored(t, e, key(placeKey, entity), func(_ string, value []byte) bool { return len(value) > 0 })
}

// What is used is kept, and what is known is written down once.
func TestPlacesInUseAreKept(t *testing.T) {
	k := newKnowledge().found(bob, runtimeB, handlerB)
	if all := k.cache.toSave(); len(all) != 1 || all[bob].Runtime != runtimeB {
		t.Errorf("to be saved: %v", all)
	}
	at := start
	for range 5 {
		at = at.Add(DefaultLimits().FoundFor)
		k.cache.expire(at, func(entity string) bool { return entity == bob })
	}
	k.cache.put(bob, place{unknown: true}, at)
	if p := k.cache.last(bob); p.runtime != runtimeB {
		t.Errorf("%+v", p)
	}
	if all := k.cache.toSave(); len(all) != 0 {
		t.Errorf("saved again: %v", all)
	}
	k.cache.put(bob, place{}, at)
	if all := k.cache.toSave(); len(all) != 1 || all[bob].Runtime != "" {
		t.Errorf("to be removed: %v", all)
	}
}
