package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

const (
	runtimeA = "hyperty-runtime://a.example/r"
	runtimeB = "hyperty-runtime://b.example/r"
	runtimeC = "hyperty-runtime://c.example/r"
	handlerB = runtimeB + "/p2phandler/1"
	bob      = "hyperty://b.example/bob"
	nodeB    = runtimeA + "/protostub/b.example"
)

var start = time.Unix(1000, 0)

// newKnowledge is runtime A's, with one hyperty and one data object of its own.
func newKnowledge() *knowledge {
	return &knowledge{
		own: runtimeA, domain: "a.example", table: newTable(DefaultLimits()), cache: newCache(DefaultLimits()),
		registrations: map[string]*registration{
			"hyperty://a.example/alice": {what: &pb.Registration{Url: "hyperty://a.example/alice"}},
			"comm://a.example/chat":     {what: &pb.Registration{Url: "comm://a.example/chat"}},
		},
	}
}

// with puts an entry for runtime B.
func (k *knowledge) with(s status.State, p phase, listed ...string) *knowledge {
	k.table.put(runtimeB, connection{
		ID: "c1", Remote: runtimeB, State: s, Phase: p, Stub: "stub", Handler: handlerB,
		URL: address.P2PConnectionURL(runtimeA, "c1"),
	})
	for _, a := range listed {
		k.table.add(runtimeB, a, fed, 10)
	}
	return k
}

func (k *knowledge) retryAt(at time.Time) *knowledge {
	c := k.table.get(runtimeB)
	c.NextAttempt = at
	k.table.put(runtimeB, c)
	return k
}

func (k *knowledge) found(entity, runtime, handler string) *knowledge {
	k.cache.put(entity, place{runtime: runtime, handler: handler}, start)
	return k
}

func (k *knowledge) policy(w Wanted) *knowledge {
	k.wants = w
	return k
}

func TestTheTenRules(t *testing.T) {
	const p2pURL = runtimeA + "/p2pconnection/c1"
	setUp := action{setUp: runtimeB, handler: handlerB}
	for _, tc := range []struct {
		name string
		k    *knowledge
		q    query
		next string
		why  pb.RouteReason
		do   action
	}{
		{"our own registry", newKnowledge(), query{to: runtimeA + "/registry"}, "", pb.RouteReason_ROUTE_REASON_LOCAL, action{}},
		{"our hyperty", newKnowledge(), query{to: "hyperty://a.example/alice"}, "", pb.RouteReason_ROUTE_REASON_LOCAL, action{}},
		{"a subscription of our object", newKnowledge(), query{to: "comm://a.example/chat/subscription"}, "", pb.RouteReason_ROUTE_REASON_LOCAL, action{}},
		{"changes of our object", newKnowledge(), query{to: "comm://a.example/chat/changes"},
			runtimeA + "/protostub/a.example", pb.RouteReason_ROUTE_REASON_MESSAGE_NODE, action{}},
		{"2: a backend service", newKnowledge(), query{to: "domain://registry.b.example"}, nodeB, pb.RouteReason_ROUTE_REASON_BACKEND_SERVICE, action{}},
		{"2: even with a connection", newKnowledge().with(status.Live, idle), query{to: "domain://msg-node.b.example/sm"},
			nodeB, pb.RouteReason_ROUTE_REASON_BACKEND_SERVICE, action{}},
		{"3: a handler stub", newKnowledge().with(status.Live, idle), query{to: handlerB}, nodeB, pb.RouteReason_ROUTE_REASON_SIGNALLING, action{}},
		{"3: an older requester stub", newKnowledge(), query{to: "runtime://b.example/p2prequester/1"}, nodeB, pb.RouteReason_ROUTE_REASON_SIGNALLING, action{}},
		{"3: a Connection object", newKnowledge().with(status.Live, idle, "connection://b.example/1"),
			query{to: "connection://b.example/1/changes"}, nodeB, pb.RouteReason_ROUTE_REASON_SIGNALLING, action{}},
		{"4: listed", newKnowledge().with(status.Live, idle, bob), query{to: bob},
			p2pURL, pb.RouteReason_ROUTE_REASON_CONNECTION_LISTS_ADDRESS, action{}},
		{"4: below what is listed", newKnowledge().with(status.Live, idle, "comm://b.example/1"), query{to: "comm://b.example/1/subscription"},
			p2pURL, pb.RouteReason_ROUTE_REASON_CONNECTION_LISTS_ADDRESS, action{}},
		{"5: found there", newKnowledge().with(status.Live, idle).found(bob, runtimeB, handlerB), query{to: bob},
			p2pURL, pb.RouteReason_ROUTE_REASON_CONNECTION_TO_RUNTIME, action{associate: bob}},
		{"5: the remote registry", newKnowledge().with(status.Live, idle), query{to: runtimeB + "/registry"},
			p2pURL, pb.RouteReason_ROUTE_REASON_CONNECTION_TO_RUNTIME, action{}},
		{"5: the sender knows", newKnowledge().with(status.Live, idle), query{to: bob, p2pHandler: handlerB},
			p2pURL, pb.RouteReason_ROUTE_REASON_CONNECTION_TO_RUNTIME, action{}},
		{"5: not before the stub has the URL", newKnowledge().with(status.Live, registering, bob), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_REESTABLISHING, action{}},
		{"6: created", newKnowledge().with(status.Created, settingUp).found(bob, runtimeB, handlerB), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_SETUP_UNDER_WAY, action{}},
		{"6: being registered", newKnowledge().with(status.InProgress, registering).found(bob, runtimeB, handlerB), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_SETUP_UNDER_WAY, action{}},
		{"7: disconnected", newKnowledge().with(status.Disconnected, idle, bob), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_REESTABLISHING, setUp},
		{"7: being set up again", newKnowledge().with(status.Disconnected, settingUp, bob), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_REESTABLISHING, action{}},
		{"7: not yet again", newKnowledge().with(status.Disconnected, idle, bob).retryAt(start.Add(1)), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_REESTABLISHING, action{}},
		{"8: wanted", newKnowledge().found(bob, runtimeB, handlerB), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_SETUP_STARTED, setUp},
		{"8: the sender knows how", newKnowledge(), query{to: bob, p2pHandler: handlerB},
			nodeB, pb.RouteReason_ROUTE_REASON_SETUP_STARTED, setUp},
		{"8: after a failure", newKnowledge().with(status.Failed, idle, bob).retryAt(start), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_SETUP_STARTED, setUp},
		{"8: another address of a known runtime", newKnowledge().found(bob, runtimeB, handlerB), query{to: runtimeB + "/app"},
			nodeB, pb.RouteReason_ROUTE_REASON_SETUP_STARTED, setUp},
		{"9: runtimes among themselves", newKnowledge().found(bob, runtimeB, handlerB), query{to: runtimeB + "/registry"},
			nodeB, pb.RouteReason_ROUTE_REASON_MESSAGE_NODE, action{}},
		{"9: an answer to a closed connection", newKnowledge().with(status.Disconnected, idle, bob), query{to: runtimeB + "/sm"},
			nodeB, pb.RouteReason_ROUTE_REASON_REESTABLISHING, action{}},
		{"8: asked for", newKnowledge().policy(OnRequest).found(bob, runtimeB, handlerB), query{to: bob, p2p: true},
			nodeB, pb.RouteReason_ROUTE_REASON_SETUP_STARTED, setUp},
		{"9: not asked for", newKnowledge().policy(OnRequest).found(bob, runtimeB, handlerB), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_MESSAGE_NODE, action{}},
		{"9: never", newKnowledge().policy(Never).found(bob, runtimeB, handlerB), query{to: bob, p2p: true},
			nodeB, pb.RouteReason_ROUTE_REASON_MESSAGE_NODE, action{}},
		{"9: too soon after a failure", newKnowledge().with(status.Failed, idle, bob).retryAt(start.Add(1)), query{to: bob},
			nodeB, pb.RouteReason_ROUTE_REASON_MESSAGE_NODE, action{}},
		{"9: unknown so far", newKnowledge(), query{to: bob + "/below"}, nodeB, pb.RouteReason_ROUTE_REASON_MESSAGE_NODE, action{lookUp: bob}},
		{"9: known to be nowhere", newKnowledge().found(bob, "", ""), query{to: bob}, nodeB, pb.RouteReason_ROUTE_REASON_MESSAGE_NODE, action{}},
		{"9: no handler", newKnowledge().found(bob, runtimeB, ""), query{to: bob}, nodeB, pb.RouteReason_ROUTE_REASON_MESSAGE_NODE, action{}},
		{"9: a bare string", newKnowledge(), query{to: "publisher"}, runtimeA + "/protostub/a.example", pb.RouteReason_ROUTE_REASON_MESSAGE_NODE, action{}},
		{"said to be here", newKnowledge().found(bob, runtimeA, ""), query{to: bob}, "", pb.RouteReason_ROUTE_REASON_LOCAL, action{}},
		{"the session service", newKnowledge(), query{to: address.Session}, "", pb.RouteReason_ROUTE_REASON_NO_ROUTE, action{}},
		{"no domain", newKnowledge(), query{to: "hyperty://b example/1"}, "", pb.RouteReason_ROUTE_REASON_NO_ROUTE, action{}},
		{"no address", newKnowledge(), query{}, "", pb.RouteReason_ROUTE_REASON_NO_ROUTE, action{}},
		{"too long", newKnowledge(), query{to: strings.Repeat("a", address.MaxLength+1)}, "", pb.RouteReason_ROUTE_REASON_NO_ROUTE, action{}},
	} {
		tc.q.at = start
		d := tc.k.resolve(&tc.q)
		if d.Next != tc.next || d.Reason != tc.why || d.Do != tc.do {
			t.Errorf("%s: %q because of %s, do %+v", tc.name, d.Next, reasonName(d.Reason), d.Do)
		}
		if (d.Next == "") != (d.Code >= 400) || (d.Next == "") != (d.Description != "") {
			t.Errorf("%s: next %q with %d %q", tc.name, d.Next, d.Code, d.Description)
		}
		checkSteps(t, tc.name, tc.k.explain(tc.q, ""), d)
	}
}

func TestWhatIsFoundIsForgotten(t *testing.T) {
	k := newKnowledge().found(bob, runtimeB, handlerB)
	q := query{to: bob, at: start.Add(DefaultLimits().FoundFor)}
	if d := k.resolve(&q); d.Do.lookUp != bob {
		t.Errorf("%+v", d)
	}
	if old := k.cache.expire(q.at, nobody); len(old) != 1 || old[0] != bob {
		t.Errorf("expired: %v", old)
	}
}

const theirObject = "connection://b.example/1"

// invited knows the Connection object of a runtime.
func invited(remote string) *knowledge {
	k := newKnowledge().with(status.Live, idle)
	k.table.put(remote, connection{ID: "c2", Remote: remote, State: status.Live, news: newsOf(&pb.Peer{Object: theirObject})})
	return k
}

func TestRule1Source(t *testing.T) {
	for _, tc := range []struct {
		name   string
		k      *knowledge
		q      sourceQuery
		ok     bool
		lookUp string
	}{
		{"below our URL", newKnowledge(), sourceQuery{from: runtimeA + "/bus"}, true, ""},
		{"registered here", newKnowledge(), sourceQuery{from: "hyperty://a.example/alice"}, true, ""},
		{"below what is registered", newKnowledge(), sourceQuery{from: "comm://a.example/chat/subscription"}, true, ""},
		{"not registered", newKnowledge(), sourceQuery{from: "hyperty://a.example/eve"}, false, ""},
		{"a URL that only begins like ours", newKnowledge(), sourceQuery{from: runtimeA + "2/bus"}, false, ""},
		{"nothing", newKnowledge(), sourceQuery{}, false, ""},
		{"below the peer's URL", newKnowledge(), sourceQuery{from: runtimeB + "/registry", remote: runtimeB}, true, ""},
		{"another runtime's", newKnowledge(), sourceQuery{from: runtimeC + "/registry", remote: runtimeB}, false, ""},
		{"ours from a peer", newKnowledge(), sourceQuery{from: "hyperty://a.example/alice", remote: runtimeB}, false, ""},
		{"listed", newKnowledge().with(status.Live, idle, bob), sourceQuery{from: bob, remote: runtimeB}, true, ""},
		{"listed by another", newKnowledge().with(status.Live, idle, bob), sourceQuery{from: bob, remote: runtimeC}, false, ""},
		{"found there", newKnowledge().found(bob, runtimeB, ""), sourceQuery{from: bob, remote: runtimeB}, true, ""},
		{"found elsewhere", newKnowledge().found(bob, runtimeC, ""), sourceQuery{from: bob, remote: runtimeB}, false, ""},
		{"nowhere", newKnowledge().found(bob, "", ""), sourceQuery{from: bob, remote: runtimeB}, false, ""},
		{"nowhere a while ago", newKnowledge().found(bob, "", ""), sourceQuery{from: bob, remote: runtimeB, at: start.Add(DefaultLimits().AskAgain)}, false, bob},
		{"found elsewhere a while ago", newKnowledge().found(bob, runtimeC, ""), sourceQuery{from: bob, remote: runtimeB, at: start.Add(DefaultLimits().AskAgain)}, false, ""},
		{"not known yet", newKnowledge(), sourceQuery{from: bob + "/x", remote: runtimeB}, false, bob},
		{"its own Connection object", invited(runtimeB), sourceQuery{from: theirObject + "/subscription", remote: runtimeB}, true, ""},
		{"that of another", invited(runtimeC), sourceQuery{from: theirObject + "/subscription", remote: runtimeB}, false, ""},
		{"another object", invited(runtimeB), sourceQuery{from: theirObject + "2", remote: runtimeB}, false, ""},
		{"a service from a peer", newKnowledge(), sourceQuery{from: "domain://registry.b.example", remote: runtimeB}, false, ""},
		{"anyone from a node", newKnowledge(), sourceQuery{from: bob, node: true}, true, ""},
		{"ours from a node", newKnowledge(), sourceQuery{from: "hyperty://a.example/alice/x", node: true}, false, ""},
	} {
		if tc.q.at.IsZero() {
			tc.q.at = start
		}
		v := tc.k.sourceOf(tc.q)
		if (v.refused == nil) != tc.ok || v.lookUp != tc.lookUp {
			t.Errorf("%s: %v, look-up %q", tc.name, v.refused, v.lookUp)
		}
		if v.refused != nil && tc.q.from != "" && fault.CodeOf(v.refused) != fault.Forbidden {
			t.Errorf("%s: %v", tc.name, v.refused)
		}
	}
	err := newKnowledge().sourceOf(sourceQuery{from: "hyperty://a.example/eve"}).refused
	if !strings.Contains(err.Error(), "register the address") {
		t.Errorf("%v does not say what to do", err)
	}
}

func TestEntity(t *testing.T) {
	for addr, want := range map[string]string{
		"comm://b.example/1/changes":       "comm://b.example/1",
		"hyperty://b.example/1":            "hyperty://b.example/1",
		"hyperty://b.example":              "hyperty://b.example",
		"hyperty://b.example/":             "hyperty://b.example/",
		runtimeB + "/registry/changes":     runtimeB,
		"domain://registry.b.example/x":    "domain://registry.b.example/x",
		"publisher":                        "publisher",
		"connection://b.example/1/x/y":     "connection://b.example/1",
		"runtime://b.example/p2prequester": "runtime://b.example/p2prequester",
	} {
		if got := entity(addr); got != want {
			t.Errorf("entity of %s is %s", addr, got)
		}
	}
}

func FuzzAddresses(f *testing.F) {
	f.Add("comm://b.example/1/changes", "hyperty-runtime://b.example/r/p2phandler/1")
	f.Add("://", "runtime:/b/r")
	f.Fuzz(func(t *testing.T, to, handlerURL string) {
		k := newKnowledge().with(status.Live, idle, bob)
		d := k.resolve(&query{to: to, p2pHandler: handlerURL, at: start})
		if (d.Next == "") != (d.Code >= 400) {
			t.Fatalf("%q: %+v", to, d)
		}
		if e := entity(to); entity(e) != e {
			t.Fatalf("entity of %q is %q, and its own is %q", to, e, entity(e))
		}
		n := 0
		u, err := address.Parse(to)
		for range ancestry(u) {
			n++
		}
		if err == nil && n < 1 || n > address.MaxLength+1 && len(to) <= address.MaxLength {
			t.Fatalf("%q has %d ancestors", to, n)
		}
		k.sourceOf(sourceQuery{from: to, remote: runtimeB, at: start})
	})
}

func (t *table) ownerOf(addr string) string {
	u, _ := address.Parse(addr)
	return t.owner(u).url()
}

func TestTableListsAnAddressOnce(t *testing.T) {
	k := newKnowledge().with(status.Live, idle, bob)
	k.table.put(runtimeC, connection{ID: "c2", Remote: runtimeC, State: status.Live})
	if k.table.add(runtimeC, bob, fed, 10) || k.table.ownerOf(bob+"/x") != runtimeB {
		t.Error("an address changed hands")
	}
	for i := range 20 {
		k.table.add(runtimeC, "comm://c.example/"+string(rune('a'+i)), fed, 10)
	}
	if n := len(k.table.listings.all(runtimeC)); n != 10 {
		t.Errorf("%d addresses", n)
	}
	if lost := k.table.put(runtimeC, connection{}); len(lost) != 10 || len(k.table.listings.byAddress) != 1 || len(k.table.byID) != 1 {
		t.Errorf("lost %d; left %v", len(lost), k.table.listings.byAddress)
	}
}

func TestStubsOfDomainsAreBounded(t *testing.T) {
	k := newKnowledge()
	k.cache.limits.Domains = 4
	for i := range 100 {
		domain := fmt.Sprint(i, ".example")
		for range 2 {
			if url := k.stub(domain); url != address.NodeStubURL(runtimeA, domain) {
				t.Fatal(url)
			}
		}
	}
	if len(k.stubs) != 4 || k.stub("no domain") != "" {
		t.Errorf("%v", k.stubs)
	}
}

func TestComplete(t *testing.T) {
	k := newKnowledge()
	for url, want := range map[string]fault.Code{
		"hyperty://a.example/1":                 fault.OK,
		"comm://a.example/1":                    fault.OK,
		"hyperty://b.example/1":                 fault.Forbidden,
		runtimeB + "/x":                         fault.Forbidden,
		runtimeA + "/x":                         fault.BadRequest,
		"connection://a.example/1":              fault.BadRequest,
		"domain://registry.a.example":           fault.BadRequest,
		"publisher":                             fault.BadRequest,
		"comm://a.example/1/changes":            fault.BadRequest,
		"hyperty://a.example":                   fault.BadRequest,
		"hyperty://" + strings.Repeat("a", 4e3): fault.BadRequest,
	} {
		if _, err := complete(&pb.Registration{Url: url}, k, DefaultLimits()); fault.CodeOf(err) != want {
			t.Errorf("%.60s: %v", url, err)
		}
	}
	what, err := complete(&pb.Registration{Kind: objectKind, Scheme: "comm"}, k, DefaultLimits())
	if err != nil || what.Expires.AsDuration() != DefaultLimits().Expires || what.Scheme != "comm" {
		t.Errorf("%v, %v", what, err)
	}
	for _, bad := range []*pb.Registration{
		nil, {Kind: objectKind}, {Kind: objectKind, Scheme: "hyperty"}, {Kind: hypertyKind, Scheme: "comm"},
		{Url: "comm://a.example/1", Scheme: "ctxt"}, {Url: "comm://a.example/1", Kind: hypertyKind},
	} {
		if _, err := complete(bad, k, DefaultLimits()); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func FuzzParsePlace(f *testing.F) {
	f.Add([]byte(`{"code":200,"value":{"runtime":"hyperty-runtime://b/r","p2pHandler":"hyperty-runtime://b/r/p2phandler/1"}}`))
	f.Add([]byte(`{"value":{"runtime":"x","p2pHandler":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parsePlace(&pb.Message{Body: body})
		if err == nil && p.runtime == "" {
			t.Fatalf("%s is nowhere", body)
		}
	})
}
