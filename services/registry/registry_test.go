package registry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLog hands the log to the test.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type logWriter struct{ t *testing.T }

func (w logWriter) Write(line []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

func openEngine(t *testing.T) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// found answers a look-up.
func found(runtime, handlerURL string) func(*pb.Message) *pb.Message {
	return func(m *pb.Message) *pb.Message {
		return message.Answer(m, 200, map[string]any{"value": map[string]string{"runtime": runtime, "p2pHandler": handlerURL}})
	}
}

func missing(m *pb.Message) *pb.Message {
	return message.Refuse(m, fault.New(fault.NotFound, "unknown"))
}

// requesterOf waits until a requester is deployed, and gives its address.
func (w *world) requesterOf(remote string) string {
	w.t.Helper()
	var stub string
	w.until("a requester for "+remote, func() bool {
		for url, d := range w.stubs {
			if d.Role == requester && d.RemoteRuntimeUrl == remote {
				stub = url
			}
		}
		return stub != ""
	})
	return stub
}

func (w *world) handlerOf() string {
	w.t.Helper()
	var stub string
	w.until("the handler", func() bool {
		for url, d := range w.stubs {
			if d.Role == handler {
				stub = url
			}
		}
		return stub != ""
	})
	return stub
}

// state waits until an entry is in a state, and gives it.
func (r *running) state(t *testing.T, remote string, want status.State) *pb.Connection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got *pb.Connection
	err := r.await(ctx, func() bool {
		c := r.known.table.get(remote)
		got = r.known.table.proto(&c)
		return c.State == want && (want != status.Live || c.usable())
	})
	if err != nil {
		t.Fatalf("%s is not %s: %v", remote, want, got)
	}
	return got
}

// goLive plays a set-up by our requester until the connection is live.
func (w *world) goLive(t *testing.T, r *running, bus *routes) (stub, url string) {
	t.Helper()
	w.answer(address.DomainRegistry("b.example"), found(runtimeB, handlerB))
	if route := bus.ask(bob); route.Next != nodeB {
		t.Fatalf("the first message goes to %v", route)
	}
	stub = w.requesterOf(runtimeB)
	w.answer(stub, ok)
	w.publish(stub, runtimeB, status.Created, "")
	w.publish(stub, runtimeB, status.InProgress, "")
	w.publish(stub, runtimeB, status.Live, "")
	c := r.state(t, runtimeB, status.Live)
	bus.leads(bob, c.P2PConnectionUrl)
	return stub, c.P2PConnectionUrl
}

func TestStart(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	w.saw("watch p2pstub")
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true})
	h := w.handlerOf()
	if !strings.HasPrefix(h, runtimeA+"/p2phandler/") {
		t.Errorf("the handler is %s", h)
	}
	w.saw("deploy node a.example")
	w.saw("watch nodestub")
	w.tellNodes(sessionOf("a.example", "a.example"))
	w.saw(subscription(h, h))
	w.saw(subscription(runtimeA, runtimeA+"/bus", runtimeA+"/registry"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var info *pb.GetRuntimeResponse
	for info == nil || !info.Components[1].Connected {
		var err error
		if info, err = r.api.GetRuntime(ctx, &pb.GetRuntimeRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if info.P2PHandlerUrl != h || info.Domain != "a.example" || info.Components[2].Name != "p2pstub" {
		t.Errorf("%v", info)
	}
}

// TestSetUp is the story from the first message to the feed of the other
// side, with what each participant sees in its order.
func TestSetUp(t *testing.T) {
	w := newWorld(t)
	metrics := prometheus.NewRegistry()
	r := w.start(openEngine(t), func(c *Config) { c.Metrics = metrics })
	bus := r.routes(t)
	w.answer(address.Registry(runtimeB), func(m *pb.Message) *pb.Message {
		return message.Answer(m, 200, map[string]any{"value": []string{bob, "comm://b.example/1", "hyperty://a.example/ours", runtimeC + "/x"}})
	})
	stub, url := w.goLive(t, r, bus)
	w.saw("deploy node b.example")
	w.saw("read " + runtimeA + `/registry -> domain://registry.b.example {"resource":"` + bob + `"}`)
	w.saw("listen " + stub + "/status")
	w.saw("deploy requester " + runtimeB)
	w.saw(`subscribe ` + runtimeA + `/ua -> domain://msg-node.a.example/sm {"resources":["` + stub + `"],"source":"` + stub + `"}`)
	w.saw("listen " + url + " -> " + stub)
	w.saw(`subscribe ` + runtimeA + `/registry -> ` + stub + ` {"resource":"` + runtimeB + `","source":"` + stub + `","subscribe":["` + url + `"]}`)
	w.saw("listen " + runtimeB + "/registry/changes")
	w.until("the subscription of its changes", func() bool {
		return hasPrefix(w.log, `subscribe `+runtimeA+`/registry -> `+runtimeB+`/registry {"subscribe":["`+runtimeB+`/registry/changes"],"deltas":true,"link":"`, `"}`)
	})
	// Steps 3, 4 and 8 of the registration; between them 7, which the pushed route shows.
	w.order("listen "+url, "subscribe "+runtimeA+"/registry -> "+stub,
		"listen "+runtimeB+"/registry/changes", "subscribe "+runtimeA+"/registry -> "+runtimeB+"/registry")
	w.order("listen "+stub+"/status", "deploy requester")

	r.addresses(t, "comm://b.example/1", "hyperty://a.example/ours", bob)
	if route := bus.ask("comm://b.example/1/subscription"); route.Next != url || route.Reason != pb.RouteReason_ROUTE_REASON_CONNECTION_LISTS_ADDRESS {
		t.Errorf("%v", route)
	}
	if route := bus.ask("hyperty://b.example/other"); route.Next != nodeB {
		t.Errorf("%v", route)
	}
	if n := gauge(t, metrics, "peerbus_registry_connections", "live"); n != 1 {
		t.Errorf("%v live connections", n)
	}
	for name, least := range map[string]uint64{"peerbus_registry_resolve_seconds": 3, "peerbus_registry_lookup_seconds": 1} {
		if n := observations(t, metrics, name); n < least {
			t.Errorf("%s has %d observations, want %d or more", name, n, least)
		}
	}
	if n := gauge(t, metrics, "peerbus_registry_buses", ""); n != 1 {
		t.Errorf("%v buses", n)
	}
}

// addresses waits until B's entry lists exactly these.
func (r *running) addresses(t *testing.T, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := r.api.WatchConnections(ctx, &pb.WatchConnectionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		resp, err := stream.Recv()
		if err != nil {
			t.Fatalf("addresses are %v, want %v: %v", got, want, err)
		}
		for _, c := range resp.Connections {
			if got = c.RemoteAddresses; c.RemoteRuntimeUrl == runtimeB && fmt.Sprint(got) == fmt.Sprint(want) {
				return
			}
		}
	}
}

func TestFeedOfTheOtherSide(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	w.answer(address.Registry(runtimeB), func(m *pb.Message) *pb.Message {
		return message.Answer(m, 200, map[string]any{"value": []string{bob}, "version": 4})
	})
	w.goLive(t, r, bus)
	r.addresses(t, bob)
	publish := func(body string) {
		w.deliver(&pb.Message{Type: "update", From: runtimeB + "/registry", To: runtimeB + "/registry/changes", Body: []byte(body)})
	}
	if a := bus.source(&pb.SourceQuery{From: bob + "/x", RemoteRuntimeUrl: runtimeB}); a.Code != 200 {
		t.Errorf("%v", a)
	}
	publish(`{"value":["comm://b.example/1"],"added":["comm://b.example/1"],"removed":["` + bob + `"],"version":5}`)
	r.addresses(t, "comm://b.example/1")
	bus.stale(bob + "/x")
	publish(`{"value":["` + bob + `"],"version":5}`) // old
	publish(`{"value":7}`)
	publish(`[]`)
	publish(`{"value":["` + bob + `","comm://b.example/1"],"version":6}`)
	r.addresses(t, "comm://b.example/1", bob)
}

// What a Message Node brings is approved by what runs here, whatever runs elsewhere.
func TestPeersThatChangeAreNoMatterOfAMessageNode(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	w.answer(address.Registry(runtimeB), func(m *pb.Message) *pb.Message {
		return message.Answer(m, 200, map[string]any{"value": []string{bob}, "version": 4})
	})
	w.goLive(t, r, bus)
	r.addresses(t, bob)
	other := bob + "/other"
	for _, q := range []*pb.SourceQuery{{From: bob, RemoteRuntimeUrl: runtimeB}, {From: other, Node: true}} {
		if a := bus.source(q); a.Code != 200 {
			t.Fatalf("%v: %v", q, a)
		}
	}
	w.deliver(&pb.Message{Type: "update", From: runtimeB + "/registry", To: runtimeB + "/registry/changes", Body: []byte(`{"value":[],"version":5}`)})
	bus.stale(bob)
	if bus.wasStale(other) {
		t.Errorf("%s was to be verified again", other)
	}
}

func TestARouteIsUsedWhileASetUpStarts(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	bus.again = true
	_, url := w.goLive(t, r, bus)
	if route := bus.ask(bob); route.Next != url || route.Again {
		t.Fatalf("%v", route)
	}
	if _, err := r.api.Disconnect(t.Context(), &pb.DisconnectRequest{Connection: runtimeB}); err != nil {
		t.Fatal(err)
	}
	if route := bus.leads(bob, nodeB); !route.Again || route.RuntimeUrl != runtimeB || route.Reason != pb.RouteReason_ROUTE_REASON_MESSAGE_NODE {
		t.Errorf("%v", route)
	}
	if route := bus.ask(bob); route.Next != nodeB || route.Again || route.Reason != pb.RouteReason_ROUTE_REASON_SETUP_STARTED {
		t.Errorf("%v", route)
	}
}

func TestFeedOfOurs(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	own := runtimeA + "/registry"
	register := func(url string) {
		t.Helper()
		if _, err := r.api.Register(t.Context(), &pb.RegisterRequest{Registration: &pb.Registration{Url: url}}); err != nil {
			t.Fatal(err)
		}
	}
	register("hyperty://a.example/1")
	subscribe := func(from, body string) {
		w.deliver(&pb.Message{Id: "7", Type: "subscribe", From: from, To: own, Body: []byte(body)})
	}
	w.saw("listen " + own)
	subscribe(runtimeB+"/registry", `{"subscribe":["`+own+`/changes"]}`)
	w.until("a refusal without a connection", func() bool { return hasPrefix(w.log, "response "+own+" -> "+runtimeB+"/registry", `"code":403`) })

	_, url := w.goLive(t, r, bus)
	subscribe(runtimeB+"/registry/", `{"subscribe":"`+own+`/changes","deltas":true}`)
	w.saw("listen " + own + "/changes -> " + url)
	w.saw("response " + own + " -> " + runtimeB + `/registry/ {"code":200,"value":["hyperty://a.example/1"],"version":2}`)
	// Steps 13 and 14 of the registration, at the side that is asked.
	w.order("listen "+own+"/changes -> "+url, "response "+own+" -> "+runtimeB)
	register("comm://a.example/2")
	w.saw("update " + own + " -> " + own + `/changes {"value":["comm://a.example/2","hyperty://a.example/1"],"added":["comm://a.example/2"],"version":3}`)
	if _, err := r.api.Unregister(t.Context(), &pb.UnregisterRequest{Url: "hyperty://a.example/1"}); err != nil {
		t.Fatal(err)
	}
	w.saw("update " + own + " -> " + own + `/changes {"value":["comm://a.example/2"],"removed":["hyperty://a.example/1"],"version":4}`)
	subscribe(runtimeB, `{"subscribe":["`+own+`/changes"]}`)
	w.until("a refusal of who is no registry", func() bool { return hasPrefix(w.log, "response "+own+" -> "+runtimeB+" ", `"code":403`) })
	subscribe("x", `{"subscribe":[]}`)
	w.until("a refusal of another subscription", func() bool { return hasPrefix(w.log, "response "+own+" -> x ", `"code":400`) })
	w.deliver(&pb.Message{Type: "unsubscribe", From: runtimeB + "/registry", To: own, Body: []byte(`{"unsubscribe":["` + own + `/changes"]}`)})
	w.saw("unlisten " + own + "/changes -> " + url)
}

func hasPrefix(log []string, prefix, part string) bool {
	for _, l := range log {
		if strings.HasPrefix(l, prefix) && strings.Contains(l, part) {
			return true
		}
	}
	return false
}

// loses has the P2P stub forget a requester's connection.
func (w *world) loses(stub string) {
	w.t.Helper()
	w.until("a Watch stream", func() bool { return len(w.watches) > 0 })
	w.tell(&pb.P2PStubWatchResponse{Peers: []*pb.Peer{
		{StubUrl: stub, Role: requester, RemoteRuntimeUrl: runtimeB, State: status.Disconnected.Proto(), Gone: true},
	}})
}

func TestLossAndFailure(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) { c.Limits.RetryMin = time.Nanosecond })
	bus := r.routes(t)
	stub, url := w.goLive(t, r, bus)
	w.publish(stub, runtimeB, status.Disconnected, "heartbeat lost")
	if route := bus.pushed(bob); route.Next != nodeB || route.Reason != pb.RouteReason_ROUTE_REASON_REESTABLISHING {
		t.Errorf("pushed %v, want the Message Node", route)
	}
	w.saw("unlisten " + url + " -> " + stub)
	if route := bus.ask(bob); route.Next != nodeB { // the stub brings it back: a message starts nothing
		t.Errorf("%v", route)
	}
	w.loses(stub)
	if route := bus.pushed(bob); route.Next != "" || route.Code != 0 {
		t.Errorf("pushed %v, want it taken back", route)
	}
	if route := bus.ask(bob); route.Next != nodeB || route.Reason != pb.RouteReason_ROUTE_REASON_REESTABLISHING {
		t.Errorf("%v", route)
	}
	w.saw("close " + stub + " ")
	second := w.requesterOf(runtimeB)
	w.publish(second, runtimeB, status.Failed, "no path")
	if route := bus.pushed(bob); route.Next != "" { // the time for another attempt has come
		t.Errorf("pushed %v", route)
	}
	c := r.Connections()[0]
	if c.State != pb.ConnectionState_CONNECTION_STATE_DISCONNECTED || c.Reason != "no path" || c.Attempts != 1 {
		t.Errorf("%v", c)
	}
	w.saw("close " + second + " ")
	if route := bus.ask(bob); route.Next != nodeB {
		t.Errorf("%v", route)
	}
	third := w.requesterOf(runtimeB)
	w.answer(third, ok)
	w.publish(third, runtimeB, status.InProgress, "")
	w.publish(third, runtimeB, status.Live, "")
	bus.leads(bob, url)
}

// A runtime that has lost its data has another handler: what failed is looked up
// again before the next attempt.
func TestTheHandlerIsLookedUpAgainAfterAFailure(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) { c.Limits.RetryMin = time.Nanosecond })
	bus := r.routes(t)
	stub, _ := w.goLive(t, r, bus)
	w.publish(stub, runtimeB, status.Disconnected, "gone")
	w.loses(stub)
	bus.leads(bob, "")
	bus.ask(bob)
	w.saw("close " + stub + " ")
	second := w.requesterOf(runtimeB)
	w.answer(address.DomainRegistry("b.example"), found(runtimeB, handlerB+"-new"))
	w.publish(second, runtimeB, status.Failed, "the invitation was refused")
	w.saw("close " + second + " ")
	if _, err := r.Connect(t.Context(), bob); err != nil {
		t.Fatal(err)
	}
	third := w.requesterOf(runtimeB)
	w.until("the new handler", func() bool { return w.stubs[third].GetP2PHandler() == handlerB+"-new" })
}

func TestHandlerSideAndPolicy(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) { c.Policy = Policy{P2P: Never, HideChanges: true} })
	bus := r.routes(t)
	w.saw("watch p2pstub")
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true})
	h := w.handlerOf()
	w.answer(h, ok)
	w.saw("listen " + h + "/status")
	w.publish(h, runtimeB, status.Created, "")
	r.state(t, runtimeB, status.Created)
	w.saw("response " + h + "/status -> " + h + ` {"code":200}`) // now it may answer the invitation
	if route := bus.ask(runtimeB + "/sm"); route.Reason != pb.RouteReason_ROUTE_REASON_SETUP_UNDER_WAY || route.Next != nodeB {
		t.Errorf("%v", route)
	}
	w.tell(&pb.P2PStubWatchResponse{Peers: []*pb.Peer{{StubUrl: h, Role: handler, RemoteRuntimeUrl: runtimeB, State: status.Live.Proto()}}})
	c := r.state(t, runtimeB, status.Live)
	if route := bus.pushed(runtimeB + "/sm"); route.Next != c.P2PConnectionUrl {
		t.Errorf("%v", route)
	}
	own := runtimeA + "/registry"
	w.deliver(&pb.Message{Id: "7", Type: "subscribe", From: runtimeB + "/registry", To: own, Body: []byte(`{"subscribe":["` + own + `/changes"]}`)})
	w.until("a refusal by policy", func() bool { return hasPrefix(w.log, "response "+own, `"code":403`) })
	if _, err := r.api.Connect(t.Context(), &pb.ConnectRequest{Address: runtimeC}); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("%v", err)
	}
	if _, err := r.api.Disconnect(t.Context(), &pb.DisconnectRequest{Connection: c.Id}); err != nil {
		t.Fatal(err)
	}
	w.saw("close " + h + " " + runtimeB)
	if _, err := r.api.Disconnect(t.Context(), &pb.DisconnectRequest{Connection: c.Id}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
	if list, err := r.api.ListConnections(t.Context(), &pb.ListConnectionsRequest{}); err != nil || len(list.Connections) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestConnectAndResolve(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	w.answer(address.DomainRegistry("b.example"), found(runtimeB, handlerB))
	w.answer(address.DomainRegistry("c.example"), missing)
	got, err := r.api.Connect(t.Context(), &pb.ConnectRequest{Address: bob})
	if err != nil || got.Connection.RemoteRuntimeUrl != runtimeB || got.Connection.State != pb.ConnectionState_CONNECTION_STATE_CREATED {
		t.Fatalf("%v, %v", got, err)
	}
	for addr, want := range map[string]fault.Code{
		"hyperty://c.example/1": fault.NotFound, runtimeC: fault.NotFound, runtimeA: fault.BadRequest, "": fault.BadRequest,
	} {
		if _, err := r.api.Connect(t.Context(), &pb.ConnectRequest{Address: addr}); fault.CodeOf(err) != want {
			t.Errorf("%q: %v", addr, err)
		}
	}
	res, err := r.api.Resolve(t.Context(), &pb.ResolveRequest{Address: bob})
	if err != nil || res.RuntimeUrl != runtimeB || res.ConnectionId != got.Connection.Id || res.Route.Next != nodeB {
		t.Errorf("%v, %v", res, err)
	}
	res, err = r.api.Resolve(t.Context(), &pb.ResolveRequest{Address: bob, From: "hyperty://a.example/eve"})
	if err != nil || res.Route.Code != 403 || res.Route.Reason != pb.RouteReason_ROUTE_REASON_SOURCE_REFUSED {
		t.Errorf("%v, %v", res, err)
	}
}

func TestSourcesAreVerified(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	bus := r.routes(t)
	w.answer(address.DomainRegistry("b.example"), found(runtimeB, ""))
	for _, tc := range []struct {
		q    *pb.SourceQuery
		want int32
	}{
		{&pb.SourceQuery{From: bob, RemoteRuntimeUrl: runtimeB}, 200},
		{&pb.SourceQuery{From: "hyperty://b.example/other", RemoteRuntimeUrl: runtimeC}, 403},
		{&pb.SourceQuery{From: "hyperty://nowhere.example/1", RemoteRuntimeUrl: runtimeC}, 403},
		{&pb.SourceQuery{From: "hyperty://a.example/1"}, 403},
		{&pb.SourceQuery{From: bob, Node: true}, 200},
	} {
		if a := bus.source(tc.q); a.Code != tc.want || (a.Code != 200) != (a.Description != "") {
			t.Errorf("%v: %v", tc.q, a)
		}
	}
	if _, err := r.api.Register(t.Context(), &pb.RegisterRequest{Registration: &pb.Registration{Url: "hyperty://a.example/1"}}); err != nil {
		t.Fatal(err)
	}
	if a := bus.source(&pb.SourceQuery{From: "hyperty://a.example/1"}); a.Code != 200 {
		t.Errorf("%v", a)
	}
	if _, err := r.api.Unregister(t.Context(), &pb.UnregisterRequest{Url: "hyperty://a.example/1"}); err != nil {
		t.Fatal(err)
	}
	bus.stale("hyperty://a.example/1")
}

func TestRegistrations(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), nil)
	w.answer(address.AddressAllocation("a.example"), func(m *pb.Message) *pb.Message {
		return message.Answer(m, 200, map[string]any{"value": map[string]any{"allocated": []string{"comm://a.example/new"}}})
	})
	got, err := r.api.Register(t.Context(), &pb.RegisterRequest{Registration: &pb.Registration{
		Kind: objectKind, Scheme: "comm", User: "user://u", DescriptorUrl: "d", DataSchemes: []string{"comm"},
		Expires: durationpb.New(3 * time.Second),
	}})
	if err != nil || got.Registration.Url != "comm://a.example/new" {
		t.Fatalf("%v, %v", got, err)
	}
	w.saw(`create ` + runtimeA + `/registry -> domain://msg-node.a.example/address-allocation {"scheme":"comm","value":{"number":1}}`)
	w.saw(`subscribe ` + runtimeA + `/ua -> domain://msg-node.a.example/sm {"resources":["comm://a.example/new","comm://a.example/new/subscription"],"source":"` + runtimeA + `/registry"}`)
	created := `create ` + runtimeA + `/registry -> domain://registry.a.example {"value":{"url":"comm://a.example/new","descriptor":"d","user":"user://u","runtime":"` +
		runtimeA + `","p2pHandler":"` + r.handler + `","dataSchemes":["comm"],"resources":[],"flow":["peerbus.v1"],"status":"live","expires":3}}`
	w.saw(created)
	refreshed := `update ` + runtimeA + `/registry -> domain://registry.a.example {"method":"refresh","resource":"comm://a.example/new"}`
	w.saw(refreshed) // it is kept alive
	w.answer(address.DomainRegistry("a.example"), func(m *pb.Message) *pb.Message {
		if m.Type == "update" {
			return missing(m)
		}
		return ok(m)
	})
	w.saw(created) // the domain registry lost it: registered again
	if list := r.Registrations(pb.RegistrationKind_REGISTRATION_KIND_UNSPECIFIED); len(list) != 1 || list[0].User != "user://u" {
		t.Errorf("%v", list)
	}
	if _, err := r.api.Unregister(t.Context(), &pb.UnregisterRequest{Url: "comm://a.example/new"}); err != nil {
		t.Fatal(err)
	}
	w.saw(`delete ` + runtimeA + `/registry -> domain://registry.a.example {"value":{"url":"comm://a.example/new"}}`)
	w.saw(`delete ` + runtimeA + `/registry -> domain://msg-node.a.example/address-allocation {"resource":"comm://a.example/new"}`)
	if _, err := r.api.Unregister(t.Context(), &pb.UnregisterRequest{Url: "comm://a.example/new"}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
	w.answer(address.DomainRegistry("a.example"), func(m *pb.Message) *pb.Message {
		return message.Refuse(m, fault.New(fault.Unavailable, "full"))
	})
	if _, err := r.api.Register(t.Context(), &pb.RegisterRequest{Registration: &pb.Registration{Url: "hyperty://a.example/1"}}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("%v", err)
	}
	if len(r.Registrations(pb.RegistrationKind_REGISTRATION_KIND_UNSPECIFIED)) != 0 {
		t.Error("what the domain registry refused is registered")
	}
}

// What the Message Node has allocated is known to somebody, or freed, whatever became of the answer.
func TestNoAllocatedAddressIsLost(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) { c.Limits.RequestWait = 50 * time.Millisecond })
	objects, asked := address.AddressAllocation("a.example"), make(chan string, 100)
	// node gives an address for each id, and says something else than that for a time.
	node := func(instead func(*pb.Message) *pb.Message) {
		w.answer(objects, func(m *pb.Message) *pb.Message {
			if m.Type != message.Create {
				return ok(m)
			}
			asked <- m.Id
			if instead != nil {
				return instead(m)
			}
			return message.Answer(m, 200, map[string]any{"value": map[string]any{"allocated": []string{"comm://a.example/" + m.Id}}})
		})
	}
	register := func(ctx context.Context, scheme string) (string, error) {
		got, err := r.Register(ctx, &pb.Registration{Kind: objectKind, Scheme: scheme})
		return got.GetUrl(), err
	}
	says := func(c fault.Code) func(*pb.Message) *pb.Message {
		return func(m *pb.Message) *pb.Message { return message.Refuse(m, fault.New(c, "no")) }
	}
	for what, instead := range map[string]func(*pb.Message) *pb.Message{
		"nothing": func(*pb.Message) *pb.Message { return nil }, "429": says(fault.TooMany), "503": says(fault.Unavailable),
	} {
		node(instead)
		if _, err := register(t.Context(), "comm"); err == nil {
			t.Errorf("%s: registered", what)
		}
		id := <-asked
		node(nil)
		for _, scheme := range []string{"ctxt", "comm", "comm"} { // the second one is what was wanted
			if _, err := register(t.Context(), scheme); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if again := <-asked == id; again != (scheme == "comm" && id != "") {
				t.Errorf("%s: for %s the same is asked: %t", what, scheme, again)
			} else if again {
				id = ""
			}
		}
	}
	t.Run("its caller has left", func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		node(func(m *pb.Message) *pb.Message {
			leave()
			return message.Answer(m, 200, map[string]any{"value": map[string]any{"allocated": []string{"comm://a.example/left"}}})
		})
		if _, err := register(ctx, "comm"); err == nil {
			t.Error("registered")
		}
		w.saw(`delete ` + runtimeA + `/registry -> ` + objects + ` {"resource":"comm://a.example/left"}`)
	})
	t.Run("it cannot be subscribed", func(t *testing.T) {
		node(func(m *pb.Message) *pb.Message {
			return message.Answer(m, 200, map[string]any{"value": map[string]any{"allocated": []string{"comm://a.example/deaf"}}})
		})
		w.answer(address.SubscriptionManager("a.example"), says(fault.TooMany))
		if _, err := register(t.Context(), "comm"); fault.CodeOf(err) != fault.TooMany {
			t.Errorf("%v", err)
		}
		w.saw(`delete ` + runtimeA + `/registry -> ` + objects + ` {"resource":"comm://a.example/deaf"}`)
	})
	t.Run("what is kept is bounded", func(t *testing.T) {
		node(says(fault.Unavailable))
		for n := range 2 * r.limits.Unanswered {
			_, _ = register(t.Context(), fmt.Sprint("s", n))
			<-asked
		}
		if n := len(r.unanswered); n != r.limits.Unanswered {
			t.Errorf("%d are kept", n)
		}
	})
}

// TestRestart: handler, registrations and entries are read back, and the P2P stub
// says what is still up.
func TestRestart(t *testing.T) {
	e := openEngine(t)
	w := newWorld(t)
	r := w.start(e, nil)
	bus := r.routes(t)
	stub, url := w.goLive(t, r, bus)
	old, id := r.handler, r.Connections()[0].Id
	if _, err := r.api.Register(t.Context(), &pb.RegisterRequest{Registration: &pb.Registration{Url: "hyperty://a.example/1"}}); err != nil {
		t.Fatal(err)
	}
	r.saved(t, e, runtimeB, status.Live)
	r.stop()

	w = newWorld(t)
	w.answer(stub, ok)
	r = w.start(e, nil)
	bus = r.routes(t)
	if route := bus.ask(runtimeB + "/sm"); route.Next != nodeB {
		t.Errorf("%v before the P2P stub has said what is up", route)
	}
	w.saw("watch p2pstub")
	w.tell(&pb.P2PStubWatchResponse{
		Snapshot: true, Stubs: []string{stub, "orphan"},
		Peers: []*pb.Peer{
			{StubUrl: stub, Role: requester, RemoteRuntimeUrl: runtimeB, State: status.Live.Proto()},
			{StubUrl: old, Role: handler, RemoteRuntimeUrl: runtimeC, State: status.Live.Proto()},
		},
	})
	w.answer(old, ok)
	w.saw("close orphan ")
	w.saw("listen " + url + " -> " + stub)
	if c := r.state(t, runtimeB, status.Live); c.Id != id || c.P2PConnectionUrl != url || r.handler != old {
		t.Errorf("%v; handler %s", c, r.handler)
	}
	r.state(t, runtimeC, status.Live) // adopted
	if route := bus.pushed(runtimeB + "/sm"); route.Next != url {
		t.Errorf("%v", route)
	}
	w.saw(`update ` + runtimeA + `/registry -> domain://registry.a.example {"method":"refresh","resource":"hyperty://a.example/1"}`)

	w.tell(nil) // the P2P stub is restarted
	w.saw("watch p2pstub")
	w.tell(&pb.P2PStubWatchResponse{Snapshot: true})
	if c := r.state(t, runtimeB, status.Disconnected); c.Reason != "the P2P stub was restarted" {
		t.Errorf("%v", c)
	}
	w.saw("deploy handler ")
}

// An entry that this runtime made in its domain before it knew flows is made anew.
func TestARegistrationFromBeforeFlows(t *testing.T) {
	e := openEngine(t)
	s, err := openStore(t.Context(), e, runtimeA)
	if err != nil {
		t.Fatal(err)
	}
	const url = "hyperty://a.example/1"
	old := &registration{what: &pb.Registration{Url: url, Kind: hypertyKind, Scheme: "hyperty", Expires: durationpb.New(time.Hour)}}
	if err := s.saveRegistration(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	r := w.start(e, nil)
	w.until("the entry with flows", func() bool {
		return hasPrefix(w.log, "create "+runtimeA+"/registry -> domain://registry.a.example", `"flow":["peerbus.v1"]`)
	})
	awaitStored(t, e, key(registrationKey, url), func(_ string, value []byte) bool {
		g, err := decodeRegistration(value)
		return err == nil && g.flow
	}) // or it happens with each start
	r.stop()
}

// saved waits until the store has an entry in a state.
func (r *running) saved(t *testing.T, e *engine.Engine, remote string, want status.State) {
	t.Helper()
	awaitStored(t, e, key(connectionPrefix, remote), func(k string, value []byte) bool {
		all := &saved{places: map[string]savedPlace{}}
		return all.take(k, value) == nil && all.connections[0].State == want
	})
}

// awaitStored waits until what the store has under a key is as wanted.
func awaitStored(t *testing.T, e *engine.Engine, of string, wanted func(key string, value []byte) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := openStore(ctx, e, runtimeA)
	if err != nil {
		t.Fatal(err)
	}
	watch, err := s.kv.Watch(ctx, of)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Stop() }()
	for {
		select {
		case entry := <-watch.Updates():
			if entry != nil && wanted(entry.Key(), entry.Value()) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("what the store has of %s is not as wanted", of)
		}
	}
}

func TestNoMessageNodeStub(t *testing.T) {
	w := newWorld(t)
	w.refuse = fault.New(fault.Unavailable, "starting")
	r := w.start(openEngine(t), func(c *Config) { c.Limits.Tick = time.Hour }) // a message tries again
	bus := r.routes(t)
	if route := bus.ask("domain://registry.b.example"); route.Code != 503 || route.Next != "" {
		t.Errorf("%v", route)
	}
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	if route := bus.ask("domain://registry.b.example"); route.Next != nodeB {
		t.Errorf("%v", route)
	}
}

func TestSlowBusIsCut(t *testing.T) {
	q := newRoutesQueue(2)
	for range 3 {
		q.push(&pb.RoutesResponse{})
	}
	if _, err := q.next(); fault.CodeOf(err) != fault.TooMany {
		t.Errorf("%v", err)
	}
}

func TestAnswersAndChangesKeepTheirOrder(t *testing.T) {
	q := newRoutesQueue(100)
	answer := &pb.RoutesResponse{Answers: []*pb.RouteAnswer{{Sequence: 1}}}
	change := &pb.RoutesResponse{Changes: []*pb.Route{{To: "x"}}}
	for _, r := range []*pb.RoutesResponse{answer, change, answer, change} {
		q.push(r)
	}
	for i := range 2 {
		if r, err := q.next(); err != nil || len(r.Answers) != 1 || len(r.Changes) != 1 {
			t.Errorf("frame %d: %v, %v", i, r, err)
		}
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) {
		c.Limits = Limits{Tick: time.Hour, Connections: 1, Told: 2, Domains: 3, Registrations: 1, Lookups: 1}
	})
	bus := r.routes(t)
	w.goLive(t, r, bus)
	w.answer(address.DomainRegistry("c.example"), found(runtimeC, runtimeC+"/p2phandler/1"))
	const carol = "hyperty://c.example/carol"
	if _, err := r.api.Connect(t.Context(), &pb.ConnectRequest{Address: carol}); fault.CodeOf(err) != fault.TooMany {
		t.Errorf("a connection too many: %v", err)
	}
	if route := bus.ask(carol); route.Next != address.NodeStubURL(runtimeA, "c.example") {
		t.Errorf("without room for an entry: %v", route)
	}
	bus.ask("publisher")
	if route := bus.ask("hyperty://d.example/1"); route.Code != 429 {
		t.Errorf("a Message Node too many: %v", route)
	}
	r.mu.Lock()
	for b := range r.buses {
		if len(b.routes) > 2 {
			t.Errorf("the bus is remembered %d routes", len(b.routes))
		}
	}
	r.mu.Unlock()
	w.tell(&pb.P2PStubWatchResponse{Peers: []*pb.Peer{
		{StubUrl: "h", Role: handler, RemoteRuntimeUrl: runtimeC, State: status.Live.Proto()},
		{StubUrl: "h", Role: handler, RemoteRuntimeUrl: "nonsense", State: status.Live.Proto()},
		{StubUrl: "h", Role: handler, RemoteRuntimeUrl: runtimeA, State: status.Live.Proto()},
	}})
	for _, remote := range []string{runtimeC, "nonsense", runtimeA} {
		w.saw("close h " + remote)
	}
	for i, want := range []fault.Code{fault.OK, fault.TooMany} {
		url := fmt.Sprint("hyperty://a.example/", i)
		if _, err := r.api.Register(t.Context(), &pb.RegisterRequest{Registration: &pb.Registration{Url: url}}); fault.CodeOf(err) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestStatusThatIsNoNews: a stub's status that is forged or senseless changes
// nothing.
func TestStatusThatIsNoNews(t *testing.T) {
	w := newWorld(t)
	metrics := prometheus.NewRegistry()
	r := w.start(openEngine(t), func(c *Config) { c.Metrics = metrics })
	bus := r.routes(t)
	stub, url := w.goLive(t, r, bus)
	to := stub + "/status"
	for _, m := range []*pb.Message{
		{Type: "update", From: runtimeA + "/bus", To: to, Body: []byte(`{"value":"disconnected","resource":"` + runtimeB + `"}`)},
		{Type: "update", From: stub, To: to, Body: []byte(`{"value":"asleep","resource":"` + runtimeB + `"}`)},
		{Type: "update", From: stub, To: to, Body: []byte(`{"value":"created","resource":"` + runtimeA + `"}`)},
		{Type: "update", From: stub, To: to, Body: []byte(`{"value":"created","resource":"bob"}`)},
		{Type: "update", From: stub, To: to, Body: []byte(`{"value":"failed","resource":"` + runtimeB + `"}`)}, // illegal
		{Type: "update", From: stub, To: to},
	} {
		w.deliver(m)
	}
	w.publish(stub, runtimeC, status.Live, "") // the last one: taken, so all before it are
	r.state(t, runtimeC, status.Live)
	if all := r.Connections(); len(all) != 2 || all[0].P2PConnectionUrl != url || all[0].State != status.Live.Proto() {
		t.Errorf("%v", all)
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	illegal := 0.0
	for _, f := range families {
		if f.GetName() == "peerbus_registry_illegal_events_total" {
			for _, m := range f.Metric {
				illegal += m.GetCounter().GetValue()
			}
		}
	}
	if illegal != 1 {
		t.Errorf("%v illegal events", illegal)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, cfg := range []Config{{}, {RuntimeURL: "bob"}, {RuntimeURL: runtimeA}} {
		if _, err := New(cfg); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
