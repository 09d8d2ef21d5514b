package bus

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// route finds the way of a post: to listeners of its address, else by a known
// route, else it waits. When it is decided (done), err is nil or why it is
// refused.
func (t *table) route(p *post) (done bool, err error) {
	t.mu.RLock()
	w, ok := t.way(p)
	if ok {
		done, err = t.send(w, p)
	}
	t.mu.RUnlock()
	if !ok {
		t.mu.Lock()
		done, err = t.onward(p)
		t.mu.Unlock()
	}
	if w.flow != nil && !p.burst.addFlow(w.flow) {
		w.flow.pump()
	}
	return done, err
}

// onward is route with the table locked.
func (t *table) onward(p *post) (done bool, err error) {
	w, ok := t.way(p)
	if !ok {
		return t.wait(p)
	}
	if w.flow != nil {
		t.flows.wake(w.flow)
	}
	return t.send(w, p)
}

// send offers a post to its way. Of a request that leaves this replica the others are
// told first: its response may come to any of them, or has, when it was posted before.
func (t *table) send(w way, p *post) (done bool, err error) {
	if p.request != nil && p.request.over.Load() {
		return false, nil // its sender has been told already
	}
	if t.mesh != nil && p.request != nil && (p.again || w.leaves()) {
		t.mesh.await(p.request)
	}
	return w.offer(p)
}

// way is where a post goes: to inboxes, or in a flow to another runtime.
type way struct {
	takers []*inbox
	flow   *outflow
}

func (w way) offer(p *post) (done bool, err error) {
	if w.flow == nil {
		return offer(p, w.takers)
	}
	p.taken.Store(false)
	p.left.Store(1)
	p.owed.Store(1)
	taken, why := w.flow.offer(p)
	if !taken && why == nil {
		return false, nil // it waits there
	}
	return p.decide(why)
}

// local delivers to listeners of the address alone; to none is fine.
func (t *table) local(p *post) (done bool, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if pl := t.places[p.m.To]; pl != nil && pl.line == nil && len(pl.takers) > 0 {
		return offer(p, pl.takers)
	}
	return true, nil
}

// heard tells whether an address has a listener here, or may have again one that was cut
// off or that a flow is for. Where the registry alone says that it is ours there may be none.
func (t *table) heard(address string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	pl := t.places[address]
	return pl != nil && (len(pl.takers) > 0 || pl.awaited() && (pl.line == nil || !pl.line.ours))
}

// way gives where a post goes now; not ok when it has to wait.
func (t *table) way(p *post) (w way, ok bool) {
	r := t.routes.get(p.m.To)
	if r != nil && !r.has(routePlaced) {
		return t.along(r, p)
	}
	if pl := t.places[p.m.To]; pl != nil {
		if pl.line != nil || pl.awaited() {
			return way{}, false
		}
		if len(pl.takers) > 0 {
			return way{takers: pl.takers}, true
		}
	}
	if r == nil {
		return way{}, false
	}
	return t.along(r, p)
}

// awaited tells whether a listener that was cut off may still come back.
func (pl *place) awaited() bool {
	return !pl.absent.IsZero() && len(pl.takers) == 0
}

// routed gives the way of a post by a known route.
func (t *table) routed(p *post) (w way, ok bool) {
	r := t.routes.get(p.m.To)
	if r == nil {
		return way{}, false
	}
	return t.along(r, p)
}

func (t *table) along(r *route, p *post) (w way, ok bool) {
	t.renew(r, p.m)
	d := t.routes.destination(r)
	if f := t.flows.of(p, d); f != nil {
		return way{flow: f}, true
	}
	takers := d.next.takers()
	return way{takers: takers}, len(takers) > 0
}

// renew asks for a known route again, once, when the registry's stream is
// another one since, or when the sender wishes for P2P and no one has before. The
// route is used meanwhile.
func (t *table) renew(r *route, m *pb.Message) {
	if m.P2P && r.set(routeForP2P) {
		if t.ask.route(m) == 0 {
			r.clear(routeForP2P)
		}
		return
	}
	if r.set(routeFresh) && t.ask.route(m) == 0 {
		r.clear(routeFresh)
	}
}

// offer offers a post to all takers but those that it came in through.
func offer(p *post, takers []*inbox) (done bool, err error) {
	n := 0
	for _, in := range takers {
		if !in.sourceOf(p.m) {
			n++
		}
	}
	if n == 0 {
		return true, refuse(reasonLoop, 404, "%s is only where the message came from", p.m.To)
	}
	p.taken.Store(false)
	p.left.Store(int32(n)) // bounded by Limits.Streams
	p.owed.Store(int32(n)) // likewise
	for _, in := range takers {
		if in.sourceOf(p.m) {
			continue
		}
		taken, why := in.offer(p)
		if !taken && why == nil {
			continue // it waits there
		}
		if last, v := p.decide(why); last {
			done, err = true, v
		}
	}
	return done, err
}

// sourceOf tells whether a message came in through the stub that has the inbox.
func (in *inbox) sourceOf(m *pb.Message) bool { return m.Via != "" && m.Via == in.stub }

// refusalOf says why a route leads nowhere; nil when it leads somewhere.
func refusalOf(r *pb.Route, to string) error {
	switch {
	case r == nil:
		return refuse(reasonNoRoute, 503, "the registry gave no route to %s", to)
	case r.GetNext() != "":
		return nil
	case r.GetReason() == pb.RouteReason_ROUTE_REASON_LOCAL:
		return nobodyListens(to)
	case r.GetCode() == 0:
		return about("to", refuse(reasonNoRoute, 404, "there is no route to %s", to))
	}
	return about("to", refuse(reasonNoRoute, fault.Code(r.GetCode()), "%s", r.GetDescription()))
}

// answered takes the registry's answer to a question. A known route outlives an
// answer that says that it cannot be known now.
func (t *table) answered(q *question, r *pb.Route) []verdict {
	to := q.query.GetTo()
	t.mu.Lock()
	defer t.mu.Unlock()
	pl := t.places[to]
	waits := pl != nil && pl.line != nil
	mine := waits && pl.line.question == q.sequence
	if mine {
		pl.line.question = 0
	}
	why := refusalOf(r, to)
	if why == nil {
		t.learn(strings.Clone(to), r, q.query.GetP2P()) // to shares its text with a whole message
		return t.follow(pl)
	}
	if fault.CodeOf(why) == fault.Unavailable && !mine {
		return nil
	}
	t.routes.delete(to)
	switch {
	case !waits, pl.awaited() && !pl.line.ours:
		return nil
	case fault.CodeOf(why) == fault.Unavailable && pl.line.patient():
		time.AfterFunc(t.limits.AskAgain, func() { t.seekAgain(to) })
		return nil
	}
	return t.failOrAwait(pl, r)
}

// failOrAwait ends a line that has no way, by what the registry says. That only a listener
// here can take its address may be so because a young bus does not have it back yet.
func (t *table) failOrAwait(pl *place, r *pb.Route) []verdict {
	if r.GetReason() == pb.RouteReason_ROUTE_REASON_LOCAL && time.Until(t.dueAt(pl.line)) > 0 {
		return t.awaitOurs(pl)
	}
	return t.fail(pl, refusalOf(r, pl.address))
}

func (t *table) learn(to string, told *pb.Route, p2p bool) {
	told = t.stillAnnounced(to, told)
	marks := routeFresh
	if told.GetAgain() {
		marks = 0 // the next message asks (renew)
	}
	if p2p {
		marks |= routeForP2P
	}
	t.routes.put(to, told, marks)
	t.flows.learn(told)
}

// stillAnnounced keeps an address in the flow that it has been in, while its
// runtime is being looked up again: from another flow its messages might overtake.
func (t *table) stillAnnounced(to string, told *pb.Route) *pb.Route {
	home, known := t.homes.get(to)
	switch {
	case told.GetFlow() == pb.FlowUse_FLOW_USE_ANNOUNCED:
		t.homes.put(to, told.GetRuntimeUrl())
	case !known:
	case told.GetFlow() != pb.FlowUse_FLOW_USE_UNKNOWN:
		t.homes.delete(to)
	default:
		told = proto.CloneOf(told)
		told.RuntimeUrl, told.Flow = home, pb.FlowUse_FLOW_USE_ANNOUNCED
	}
	return told
}

// follow has a line go by the route that has come, to another runtime. What came from
// outside does not go there: a runtime forwards nothing for others.
func (t *table) follow(pl *place) (verdicts []verdict) {
	if pl == nil || pl.line == nil {
		return nil
	}
	t.heed(pl)
	if !pl.awaited() {
		for _, p := range t.lobby.leaveIf(pl.line, pl.line.posts.len(), func(p *post) bool { return p.ingress != nil }) {
			verdicts = append(verdicts, verdict{post: p, err: nobodyListens(pl.address)})
		}
	}
	return append(verdicts, t.retry(pl)...)
}

// changed takes a change that the registry pushes; it tells whether the address
// is of interest here. A route that leads nowhere any more is forgotten.
func (t *table) changed(r *pb.Route) (known bool, verdicts []verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pl := t.places[r.GetTo()]
	waits := pl != nil && pl.line != nil
	old := t.routes.get(r.GetTo())
	if old == nil && !waits {
		return false, nil
	}
	if r.GetNext() != "" {
		t.learn(r.GetTo(), r, old != nil && old.has(routeForP2P))
		return true, t.follow(pl)
	}
	t.routes.delete(r.GetTo())
	switch {
	case !waits, pl.awaited() && !pl.line.ours:
		return true, nil
	case r.GetCode() != 0:
		return true, t.failOrAwait(pl, r)
	}
	t.heed(pl)
	return true, t.retry(pl)
}

// reask asks again for the routes of what waits for a stub, and has the others asked for
// when they are used: a new stream to the registry may know better.
func (t *table) reask() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.routes.age()
	for pl := range t.waiting {
		if r := t.routes.get(pl.address); r != nil && pl.line.posts.len() > 0 {
			t.renew(r, pl.line.posts.first().post.m)
		}
	}
}
