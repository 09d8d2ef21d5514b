package registry

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// What a standby hears of the registry that leads, and tells its buses.

// hear takes what the registry that leads says, in its order.
func (r *relayed) hear(resp *pb.RoutesResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range resp.Answers {
		r.hearRoute(a)
	}
	for _, route := range resp.Changes {
		r.change(route)
	}
	for _, a := range resp.Sources {
		r.hearSource(a)
	}
	if len(resp.StaleSources) > 0 {
		r.stale(resp.StaleSources)
	}
}

func (r *relayed) hearRoute(a *pb.RouteAnswer) {
	o := r.close(a.Sequence)
	if o == nil {
		return
	}
	what, is := o.what.(relayedQuery)
	if !is || a.Route == nil {
		return
	}
	if a.Route.Code != int32(fault.Unavailable) { // that is asked again soon
		makeRoom(r.routes, what.to, r.limits.Told)
		r.routes[what.to] = &relayedRoute{question: what, route: a.Route, epoch: r.epoch}
	}
	for _, w := range o.waiters {
		r.tell(w, a.Route)
	}
}

// tell answers a bus, which is told of each change from then on.
func (r *relayed) tell(w waiter, route *pb.Route) {
	w.bus.out.push(routeAnswer(w.sequence, route))
	if _, had := w.bus.routes[route.To]; !had && len(w.bus.routes) >= r.limits.Told {
		for other := range w.bus.routes {
			delete(w.bus.routes, other)
			w.bus.out.push(&pb.RoutesResponse{Changes: []*pb.Route{{To: other}}})
			break
		}
	}
	w.bus.routes[route.To] = struct{}{}
}

// change takes a route that has changed, or is to be asked for again.
func (r *relayed) change(route *pb.Route) {
	forgotten := route.Next == "" && route.Code == 0
	switch known := r.routes[route.To]; {
	case known == nil:
	case forgotten:
		delete(r.routes, route.To)
	default:
		r.routes[route.To] = &relayedRoute{question: known.question, route: route, epoch: r.epoch}
	}
	for b := range r.buses {
		if _, told := b.routes[route.To]; !told {
			continue
		}
		if forgotten {
			delete(b.routes, route.To)
		}
		b.out.push(&pb.RoutesResponse{Changes: []*pb.Route{proto.CloneOf(route)}})
	}
}

func (r *relayed) hearSource(a *pb.SourceAnswer) {
	o := r.close(a.Sequence)
	if o == nil {
		return
	}
	what, is := o.what.(relayedSource)
	if !is {
		return
	}
	if a.Code == int32(fault.OK) {
		makeRoom(r.sources, what, r.limits.Told)
		r.sources[what] = r.epoch
	}
	for _, w := range o.waiters {
		if a.Code == int32(fault.OK) {
			r.approve(w, what)
			continue
		}
		w.bus.out.push(&pb.RoutesResponse{Sources: []*pb.SourceAnswer{{Sequence: w.sequence, Code: a.Code, Description: a.Description}}})
	}
}

// approve answers a bus that a source is right, and tells it when that is over.
func (r *relayed) approve(w waiter, what relayedSource) {
	w.bus.out.push(sourceAnswer(w.sequence, nil))
	if _, had := w.bus.sources[what.from]; !had && len(w.bus.sources) >= r.limits.Told {
		for other := range w.bus.sources {
			delete(w.bus.sources, other)
			w.bus.out.push(&pb.RoutesResponse{StaleSources: []string{other}})
			break
		}
	}
	w.bus.sources[what.from] = struct{}{}
}

// stale forgets sources, wherever they came in.
func (r *relayed) stale(all []string) {
	for what := range r.sources {
		if slices.Contains(all, what.from) {
			delete(r.sources, what)
		}
	}
	for b := range r.buses {
		var told []string
		for _, from := range all {
			if _, is := b.sources[from]; is {
				delete(b.sources, from)
				told = append(told, from)
			}
		}
		if len(told) > 0 {
			b.out.push(&pb.RoutesResponse{StaleSources: told})
		}
	}
}

func routeAnswer(sequence uint64, route *pb.Route) *pb.RoutesResponse {
	return &pb.RoutesResponse{Answers: []*pb.RouteAnswer{{Sequence: sequence, Route: proto.CloneOf(route)}}}
}

// unanswered is the route of what cannot be known now.
func unanswered(to, why string) *pb.Route {
	return &pb.Route{
		To: to, Reason: pb.RouteReason_ROUTE_REASON_NO_ROUTE, Code: int32(fault.Unavailable), Description: why,
	}
}

func sourceAnswer(sequence uint64, err error) *pb.RoutesResponse {
	a := &pb.SourceAnswer{Sequence: sequence, Code: int32(cmp.Or(fault.CodeOf(err), fault.OK))} // an HTTP code
	if err != nil {
		a.Description = fault.From(err).Description
	}
	return &pb.RoutesResponse{Sources: []*pb.SourceAnswer{a}}
}
