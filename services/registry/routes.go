package registry

import (
	"context"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// busStream is one bus's Routes stream, and what it has been told: only that can
// change, and is pushed when it does. Registry.mu guards all but out.
type busStream struct {
	r       *Registry
	routes  map[string]*told               // by `to`
	byKey   map[string]map[string]struct{} // what a route hangs on → its `to`
	sources map[string]map[string]bool     // entity → sources said to be right; true: of a peer
	count   int                            // of sources
	waiting int                            // questions that wait
	out     *routesQueue
}

// told is a route that the bus has.
type told struct {
	query query
	route *pb.Route
	keys  []string
}

func (r *Registry) openBus() *busStream {
	b := &busStream{
		r: r, routes: map[string]*told{}, byKey: map[string]map[string]struct{}{},
		sources: map[string]map[string]bool{}, out: newRoutesQueue(r.limits.Outgoing),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buses[b] = struct{}{}
	r.partLocked("bus", nil)
	return b
}

func (r *Registry) closeBus(b *busStream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.buses, b)
	if len(r.buses) == 0 {
		r.partLocked("bus", fault.New(fault.Unavailable, "no bus is connected"))
	}
}

// routeQuery answers at once, or as soon as the Message Node stub is deployed.
func (b *busStream) routeQuery(sequence uint64, q query) {
	r := b.r
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.Debug("resolving", "to", q.to)
	d := r.decideLocked(q)
	if d.Domain == "" {
		b.answerLocked(sequence, q, d)
		return
	}
	n, err := r.nodeLocked(d.Domain)
	switch {
	case err != nil:
		b.answerLocked(sequence, q, unavailable(d, err))
	case n.deployed:
		b.answerLocked(sequence, q, d)
	default:
		b.laterLocked(func(ctx context.Context) {
			err := r.haveNode(ctx, d.Domain)
			r.mu.Lock()
			defer r.mu.Unlock()
			b.answerLocked(sequence, q, r.againLocked(q, err))
		}, func() {
			b.answerLocked(sequence, q, unavailable(d, errWaiting))
		})
	}
}

var errWaiting = fault.New(fault.Unavailable, "too many questions wait for a Message Node stub")

// againLocked decides again after a wait, in which things may have changed.
func (r *Registry) againLocked(q query, err error) Decision {
	q.at = r.cfg.Now()
	d := *r.known.resolve(&q)
	r.askedLocked(&d, q)
	if err != nil && d.Domain != "" {
		r.missNodeLocked(d.Domain) // whoever has the answer is told when it is there

		return unavailable(d, err)
	}
	return d
}

// laterLocked runs what waits beside the stream, or says that too many do.
func (b *busStream) laterLocked(wait func(ctx context.Context), full func()) {
	if b.waiting >= b.r.limits.Waiting {
		full()
		return
	}
	b.waiting++
	b.r.lanes.spawn(func(ctx context.Context) {
		wait(ctx)
		b.r.mu.Lock()
		b.waiting--
		b.r.mu.Unlock()
	})
}

// answerLocked sends a route, and remembers it. It is sent under the lock, so that
// no change of it can overtake it.
func (b *busStream) answerLocked(sequence uint64, q query, d Decision) {
	b.r.resolved(q, d)
	route := b.rememberLocked(q, d)
	b.out.push(&pb.RoutesResponse{Answers: []*pb.RouteAnswer{{Sequence: sequence, Route: route}}})
}

func (b *busStream) rememberLocked(q query, d Decision) *pb.Route {
	b.forgetLocked(q.to)
	b.makeRoomLocked()
	t := &told{query: q, route: d.route(q.to), keys: []string{entity(q.to)}}
	if d.Runtime != "" && d.Runtime != t.keys[0] {
		t.keys = append(t.keys, d.Runtime)
	}
	if domain := d.Domain + d.RelayDomain; domain != "" { // it has one of them
		t.keys = append(t.keys, nodeKey(domain))
	}
	b.routes[q.to] = t
	for _, k := range t.keys {
		if b.byKey[k] == nil {
			b.byKey[k] = map[string]struct{}{}
		}
		b.byKey[k][q.to] = struct{}{}
	}
	return t.route
}

// makeRoomLocked takes routes back when there are too many; those of the buses of
// other runtimes last, since no message asks for them again.
func (b *busStream) makeRoomLocked() {
	for _, buses := range []bool{false, true} {
		for to := range b.routes {
			if len(b.routes) < b.r.limits.Told {
				return
			}
			if buses || !strings.HasSuffix(to, address.Bus("")) {
				b.takeBackLocked(to)
			}
		}
	}
}

// isToldLocked tells whether a bus has been told a route of an entity.
func (r *Registry) isToldLocked(entity string) bool {
	for b := range r.buses {
		if len(b.byKey[entity]) > 0 {
			return true
		}
	}
	return false
}

func (b *busStream) forgetLocked(to string) {
	t := b.routes[to]
	if t == nil {
		return
	}
	delete(b.routes, to)
	for _, k := range t.keys {
		delete(b.byKey[k], to)
		if len(b.byKey[k]) == 0 {
			delete(b.byKey, k)
		}
	}
}

// takeBackLocked makes the bus ask again with the next message.
func (b *busStream) takeBackLocked(to string) {
	b.forgetLocked(to)
	b.out.push(&pb.RoutesResponse{Changes: []*pb.Route{{To: to}}})
}

// rerouteLocked looks again at all routes that hang on these runtimes, entities
// and addresses, and pushes what has changed.
func (r *Registry) rerouteLocked(keys []string) {
	for b := range r.buses {
		for _, k := range keys {
			for _, to := range slices.Collect(maps.Keys(b.byKey[entity(k)])) {
				b.lookAgainLocked(to)
			}
		}
	}
}

// lookAgainLocked compares one route with what it is now. When a message would
// start something, the bus must ask again with it; nothing starts without one. A set-up
// holds no message back, so the bus may use the route while it asks.
func (b *busStream) lookAgainLocked(to string) {
	t := b.routes[to]
	if t == nil {
		return
	}
	q := t.query
	q.at = b.r.cfg.Now()
	d := *b.r.known.resolve(&q)
	asks := d.Do.lookUp != "" && b.r.lookups[d.Do.lookUp] == nil
	if asks || d.Do.setUp != "" && !q.again {
		b.takeBackLocked(to)
		return
	}
	b.r.wantNodeLocked(d.Domain + d.RelayDomain)
	again := d.Do.setUp != ""
	if again {
		d.Reason = pb.RouteReason_ROUTE_REASON_MESSAGE_NODE // nothing is started yet
	}
	route := b.rememberLocked(q, d)
	if route.Again = again; !proto.Equal(route, t.route) {
		b.out.push(&pb.RoutesResponse{Changes: []*pb.Route{route}})
	}
}

// sourceQuery answers whether a `from` is right, beside the stream when a look-up
// must tell.
func (b *busStream) sourceQuery(sequence uint64, q sourceQuery) {
	r := b.r
	r.mu.Lock()
	defer r.mu.Unlock()
	q.at = r.cfg.Now()
	v := r.known.sourceOf(q)
	if v.lookUp == "" {
		b.sourceAnswerLocked(sequence, q, r.countRefusal(q, v.refused))
		return
	}
	b.laterLocked(func(ctx context.Context) {
		err := r.verify(ctx, q)
		r.mu.Lock()
		defer r.mu.Unlock()
		b.sourceAnswerLocked(sequence, q, err)
	}, func() {
		b.sourceAnswerLocked(sequence, q, fault.New(fault.Unavailable, "too many sources wait to be verified"))
	})
}

func (b *busStream) sourceAnswerLocked(sequence uint64, q sourceQuery, err error) {
	a := &pb.SourceAnswer{Sequence: sequence, Code: int32(fault.CodeOf(err))} // an HTTP code
	if err != nil {
		a.Description = fault.From(err).Description
	} else {
		b.rememberSourceLocked(q.from, q.remote != "")
	}
	b.out.push(&pb.RoutesResponse{Sources: []*pb.SourceAnswer{a}})
}

func (b *busStream) rememberSourceLocked(from string, peer bool) {
	e := entity(from)
	for other := range b.sources {
		if b.count < b.r.limits.Told {
			break
		}
		b.staleLocked(other, false)
	}
	if b.sources[e] == nil {
		b.sources[e] = map[string]bool{}
	}
	of, had := b.sources[e][from]
	if !had {
		b.count++
	}
	b.sources[e][from] = of || peer
}

// staleLocked tells all buses to verify these addresses, and what stands below
// them, again: what runs here has changed.
func (r *Registry) staleLocked(addresses []string) { r.staleOfLocked(addresses, false) }

// stalePeersLocked is staleLocked for those that were said to be of a peer: what runs
// elsewhere has changed, which says nothing of what a Message Node brings.
func (r *Registry) stalePeersLocked(addresses []string) { r.staleOfLocked(addresses, true) }

func (r *Registry) staleOfLocked(addresses []string, ofPeers bool) {
	for b := range r.buses {
		for _, a := range addresses {
			b.staleLocked(entity(a), ofPeers)
		}
	}
}

func (b *busStream) staleLocked(entity string, ofPeers bool) {
	resp, set := &pb.RoutesResponse{}, b.sources[entity]
	for from, peer := range set {
		if peer || !ofPeers {
			resp.StaleSources = append(resp.StaleSources, from)
			delete(set, from)
		}
	}
	if len(set) == 0 {
		delete(b.sources, entity)
	}
	if b.count -= len(resp.StaleSources); len(resp.StaleSources) > 0 {
		b.out.push(resp)
	}
}
