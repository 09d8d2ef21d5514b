package bus

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func nowhere(string) *place { return nil }

func leadsTo(next string) *pb.Route { return &pb.Route{Next: next} }

func TestABucketFillsACacheLine(t *testing.T) {
	if n := unsafe.Sizeof(bucket{}); n != 64 {
		t.Errorf("%d bytes", n)
	}
}

// modelled is what a plain map knows of a route.
type modelled struct {
	next string
	p2p  bool
}

func TestRoutesBesideAPlainMap(t *testing.T) {
	const limit, addresses = 700, 1000
	r, model := newRoutes(limit, nowhere), map[string]modelled{}
	for i := range 200_000 {
		to, next := fmt.Sprint("hyperty://b.example/", rand.N(addresses)), fmt.Sprint("stub", rand.N(5))
		_, known := model[to]
		switch rand.N(4) {
		case 0:
			r.delete(to)
			delete(model, to)
		case 1:
			if !known && len(model) == limit {
				break // the clock would take another one
			}
			m := modelled{next: next, p2p: rand.N(2) == 0}
			marks := routeFresh
			if m.p2p {
				marks |= routeForP2P
			}
			r.put(to, leadsTo(next), marks)
			model[to] = m
		case 2:
			if i%1000 == 0 {
				r.age()
			}
		}
		compareRoute(t, r, to, model)
	}
	for n := range addresses {
		compareRoute(t, r, fmt.Sprint("hyperty://b.example/", n), model)
	}
	for to := range model {
		r.delete(to)
	}
	if len(r.to.byKey)+len(r.to.hops)+r.len() != 0 || len(r.to.free) != len(r.to.all) {
		t.Errorf("left: %d routes, %v, %v", r.len(), r.to.byKey, r.to.hops)
	}
	for i := range r.parts {
		for _, b := range r.parts[i].buckets {
			if b != (bucket{}) {
				t.Fatalf("left in part %d: %+v", i, b)
			}
		}
	}
}

func compareRoute(t *testing.T, r *routes, to string, model map[string]modelled) {
	t.Helper()
	want, known := model[to]
	rt := r.get(to)
	if (rt != nil) != known || r.len() != len(model) {
		t.Fatalf("%s: %v of %d routes, want %v of %d", to, rt, r.len(), known, len(model))
	}
	if rt == nil {
		return
	}
	if next := r.destination(rt).told.Next; next != want.next || rt.has(routeForP2P) != want.p2p || !rt.has(routeUsed) {
		t.Fatalf("%s leads to %s with %x, want %+v", to, next, *rt, want)
	}
}

// What is used stays, whatever else comes.
func TestRoutesKeepWhatIsUsed(t *testing.T) {
	const limit = 200
	r := newRoutes(limit, nowhere)
	r.put(bob, leadsTo(nodeURL), 0)
	for i := range 20 * limit {
		to := fmt.Sprint("hyperty://b.example/", i)
		r.put(to, leadsTo(nodeURL), 0)
		r.find(to).clear(routeUsed) // nobody takes it
		if r.get(bob) == nil {
			t.Fatalf("bob was dropped with %d", i)
		}
		if r.len() > limit || r.destination(r.get(bob)).uses != r.len() {
			t.Fatalf("%d routes, %d uses", r.len(), r.destination(r.get(bob)).uses)
		}
	}
	for i := range 20 * limit { // all are used: one goes all the same
		to := fmt.Sprint("hyperty://c.example/", i)
		r.put(to, leadsTo(nodeURL), 0)
		if r.get(to) == nil || r.len() != limit {
			t.Fatalf("%s is not there; %d routes", to, r.len())
		}
	}
}

// A route that has just come is not the next to go while others rest.
func TestANewRouteStays(t *testing.T) {
	const limit = 200
	for table := range 20 {
		r := newRoutes(limit, nowhere)
		before := ""
		for i := range limit + limit/2 { // with the first that goes, the hand comes by all of them
			to := fmt.Sprint("hyperty://b.example/", i)
			r.put(to, leadsTo(nodeURL), 0)
			if i > limit && r.find(before) == nil {
				t.Fatalf("table %d: %s went for %s", table, before, to)
			}
			before = to
		}
	}
}

// A new stream to the registry has each route asked for once.
func TestOneOfManySetsAMark(t *testing.T) {
	r := newRoutes(10, nowhere)
	r.put(bob, leadsTo(nodeURL), routeFresh)
	if r.get(bob).set(routeFresh) {
		t.Error("a new route is not fresh")
	}
	r.age()
	var all sync.WaitGroup
	firsts := make(chan route, 100)
	for range 10 {
		all.Go(func() {
			for _, mark := range []route{routeFresh, routeForP2P} {
				if r.get(bob).set(mark) {
					firsts <- mark
				}
			}
		})
	}
	all.Wait()
	close(firsts)
	count := map[route]int{}
	for mark := range firsts {
		count[mark]++
	}
	if count[routeFresh] != 1 || count[routeForP2P] != 1 {
		t.Errorf("%v were the first", count)
	}
	if rt := r.get(bob); r.destination(rt).told.Next != nodeURL {
		t.Errorf("%x", *rt)
	}
}

// Destinations are shared by what a bus wants to know of a route, and by nothing else.
func TestDestinationsAreShared(t *testing.T) {
	r := newRoutes(100, nowhere)
	one := func(change func(*pb.Route)) *pb.Route {
		rt := &pb.Route{Next: stubURL, Relay: nodeURL, RuntimeUrl: remote}
		change(rt)
		return rt
	}
	different := []func(*pb.Route){
		func(*pb.Route) {},
		func(r *pb.Route) { r.Next = connURL },
		func(r *pb.Route) { r.Relay = "" },
		func(r *pb.Route) { r.RuntimeUrl = "" },
		func(r *pb.Route) { r.Reason = pb.RouteReason_ROUTE_REASON_SIGNALLING },
		func(r *pb.Route) { r.Flow = pb.FlowUse_FLOW_USE_ANNOUNCED },
		func(r *pb.Route) { r.Doubt = true },
	}
	for i, change := range different {
		for n := range 3 {
			rt := one(change)
			rt.To = fmt.Sprint("hyperty://b.example/", i, "/", n)
			r.put(rt.To, rt, 0)
		}
	}
	if len(r.to.byKey) != len(different) || len(r.to.all) != len(different) || len(r.to.hops) != 2 {
		t.Errorf("%d destinations over %d hops", len(r.to.byKey), len(r.to.hops))
	}
	r.put("hyperty://b.example/0/0", one(different[1]), 0) // it is led elsewhere
	if d := r.destination(r.get("hyperty://b.example/0/0")); d.told.Next != connURL || d.uses != 4 {
		t.Errorf("%+v", d)
	}
}

// Routes and destinations know which addresses have a place, however they came by it.
func TestRoutesKnowOfPlaces(t *testing.T) {
	a := newAlone(t, Limits{Routes: 20})
	tb := a.bus.table
	addresses := []string{alice, bob, carol, nodeURL, stubURL, connURL}
	s := newStream(a.bus, "test", pb.Component_COMPONENT_P2P_STUB)
	for range 20_000 {
		to, next := addresses[rand.N(len(addresses))], addresses[rand.N(len(addresses))]
		switch rand.N(5) {
		case 0, 1:
			tb.learn(to, leadsTo(next), false)
		case 2:
			tb.mu.Lock()
			tb.routes.delete(to)
			tb.mu.Unlock()
		case 3:
			_, _ = tb.add(s, &pb.ListenerChange{Address: to}) // it may be there
		case 4:
			_, _ = tb.remove(s, to, "") // or not
		}
		comparePlaces(t, tb, addresses)
	}
}

func comparePlaces(t *testing.T, tb *table, addresses []string) {
	t.Helper()
	for _, to := range addresses {
		rt, pl := tb.routes.find(to), tb.places[to]
		if rt != nil && rt.has(routePlaced) != (pl != nil) {
			t.Fatalf("%s: marked %v, has a place %v", to, rt.has(routePlaced), pl != nil)
		}
		if h := tb.routes.to.hops[to]; h != nil && h.place != pl {
			t.Fatalf("%s: destinations have another place", to)
		}
		w, ok := tb.way(newPost(nil, &pb.Message{To: to}))
		want := takersOf(pl)
		if len(want) == 0 && rt != nil {
			want = takersOf(tb.places[tb.routes.destination(rt).told.Next])
		}
		if ok != (len(want) > 0) || fmt.Sprint(w.takers) != fmt.Sprint(want) {
			t.Fatalf("%s goes to %v, want %v", to, w.takers, want)
		}
	}
}

func takersOf(pl *place) []*inbox {
	if pl == nil {
		return nil
	}
	return pl.takers
}
