package registry

import (
	"maps"
	"slices"
	"sync"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// relayed is the routes and sources that a standby knows, the buses that it answers,
// and the questions to the registry that leads. It does no I/O and never waits.
//
//	bus ── question ─► known, and by the one that leads now, or nobody leads: answered
//	                   otherwise: open, asked once however many buses ask
//	answer, change ──► kept, and told to the buses that asked
//
// What another registry has said that led before is not followed any more: it is asked
// for again, and used only while nobody leads.
type relayed struct {
	limits Limits
	now    func() time.Time
	nobody func() *fault.Error // says why nobody leads

	mu       sync.Mutex
	epoch    uint64 // counts the streams to the registry that leads
	up       bool   // there is one
	routes   map[string]*relayedRoute
	sources  map[relayedSource]uint64 // approved, and in which epoch
	open     map[uint64]*openQuestion
	asking   map[any]*openQuestion // by what is asked
	sequence uint64
	unsent   []uint64
	wake     chan struct{} // has a token when there may be something to send
	buses    map[*relayedBus]struct{}
}

// relayedRoute is a route, and what it was the answer to.
type relayedRoute struct {
	question relayedQuery
	route    *pb.Route
	epoch    uint64
}

// relayedQuery and relayedSource are questions without their sequence.
type relayedQuery struct {
	to, from, handler, requester string
	p2p                          bool
}

type relayedSource struct {
	from, remote string
	node         bool
}

// openQuestion is one that the registry that leads has not answered.
type openQuestion struct {
	what    any // a relayedQuery or a relayedSource
	until   time.Time
	waiters []waiter
}

// waiter is a bus that has asked, and its own number of the question.
type waiter struct {
	bus      *relayedBus
	sequence uint64
}

// relayedBus is the stream of a bus, and what it has been told.
type relayedBus struct {
	out     *routesQueue
	over    chan struct{} // closed when it must come back
	why     error         // set before over is closed
	routes  map[string]struct{}
	sources map[string]struct{} // by `from`
}

func newRelayed(l Limits, now func() time.Time, nobody func() *fault.Error) *relayed {
	if now == nil {
		now = time.Now
	}
	return &relayed{
		limits: l, now: now, nobody: nobody, routes: map[string]*relayedRoute{}, sources: map[relayedSource]uint64{},
		open: map[uint64]*openQuestion{}, asking: map[any]*openQuestion{},
		wake: make(chan struct{}, 1), buses: map[*relayedBus]struct{}{},
	}
}

func (r *relayed) enter() *relayedBus {
	b := &relayedBus{
		out: newRoutesQueue(r.limits.Outgoing), over: make(chan struct{}),
		routes: map[string]struct{}{}, sources: map[string]struct{}{},
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buses[b] = struct{}{}
	return b
}

func (r *relayed) leave(b *relayedBus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.buses, b)
}

// reset has buses come back: all, or those that have been told something.
func (r *relayed) reset(why string, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for b := range r.buses {
		if all || len(b.routes)+len(b.sources) > 0 {
			b.why = fault.New(fault.Unavailable, "%s: ask it anew", why)
			close(b.over)
			delete(r.buses, b)
		}
	}
}

// route answers a bus where messages go, now or later.
func (r *relayed) route(b *relayedBus, q *pb.RouteQuery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what := relayedQuery{to: q.To, from: q.From, handler: q.P2PHandler, requester: q.P2PRequester, p2p: q.P2P}
	known := r.routes[q.To]
	switch {
	case known != nil && (known.epoch == r.epoch && known.question.same(what) || !r.up):
		r.tell(waiter{b, q.Sequence}, known.route)
	case !r.ask(what, waiter{b, q.Sequence}):
		b.out.push(routeAnswer(q.Sequence, unanswered(q.To, "too many questions wait for the registry that leads")))
	}
}

// same tells whether an answer to one is one to the other: who asks makes no
// difference.
func (q relayedQuery) same(other relayedQuery) bool {
	q.from = other.from
	return q == other
}

// source answers a bus whether a `from` is right, now or later.
func (r *relayed) source(b *relayedBus, q *pb.SourceQuery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what := relayedSource{q.From, q.RemoteRuntimeUrl, q.Node}
	epoch, known := r.sources[what]
	switch {
	case known && (epoch == r.epoch || !r.up):
		r.approve(waiter{b, q.Sequence}, what)
	case !r.ask(what, waiter{b, q.Sequence}):
		b.out.push(sourceAnswer(q.Sequence, fault.New(fault.Unavailable, "too many questions wait for the registry that leads")))
	}
}

// ask opens a question, or joins it. It gives false when there are too many.
func (r *relayed) ask(what any, w waiter) bool {
	if o := r.asking[what]; o != nil {
		if len(o.waiters) >= r.limits.Waiting {
			return false
		}
		o.waiters = append(o.waiters, w)
		return true
	}
	if len(r.open) >= r.limits.Waiting {
		return false
	}
	r.sequence++
	o := &openQuestion{what: what, until: r.now().Add(r.limits.LeaderWait), waiters: []waiter{w}}
	r.open[r.sequence], r.asking[what] = o, o
	if r.up {
		r.unsent = append(r.unsent, r.sequence)
		r.signal()
	}
	return true
}

func (r *relayed) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *relayed) close(sequence uint64) *openQuestion {
	o := r.open[sequence]
	if o != nil {
		delete(r.open, sequence)
		delete(r.asking, o.what)
	}
	return o
}

// begin is called with a new stream to the registry that leads: what is open is asked
// on it, and buses ask it for what they use.
func (r *relayed) begin() {
	r.reset("another registry leads", false)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
	r.up = true
	r.unsent = slices.Sorted(maps.Keys(r.open))
	r.signal()
}

// end is called when that stream has ended.
func (r *relayed) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up, r.unsent = false, nil
	for _, o := range r.open {
		o.until = r.now().Add(r.limits.LeaderWait)
	}
}

// giveUp answers what has waited too long while nobody leads.
func (r *relayed) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up {
		return
	}
	for sequence, o := range r.open {
		if r.now().Before(o.until) {
			continue
		}
		r.close(sequence)
		for _, w := range o.waiters {
			switch what := o.what.(type) {
			case relayedQuery:
				w.bus.out.push(routeAnswer(w.sequence, unanswered(what.to, r.nobody().Description)))
			case relayedSource:
				w.bus.out.push(sourceAnswer(w.sequence, r.nobody()))
			}
		}
	}
}

// next takes a frame of questions; nil when there is none to send.
func (r *relayed) next() *pb.RoutesRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	req := &pb.RoutesRequest{}
	for len(r.unsent) > 0 && len(req.Queries)+len(req.Sources) < maxBatch {
		sequence := r.unsent[0]
		r.unsent = r.unsent[1:]
		o := r.open[sequence]
		if o == nil {
			continue
		}
		switch what := o.what.(type) {
		case relayedQuery:
			req.Queries = append(req.Queries, &pb.RouteQuery{
				Sequence: sequence, To: what.to, From: what.from, P2P: what.p2p, P2PHandler: what.handler, P2PRequester: what.requester,
			})
		case relayedSource:
			req.Sources = append(req.Sources, &pb.SourceQuery{Sequence: sequence, From: what.from, RemoteRuntimeUrl: what.remote, Node: what.node})
		}
	}
	if len(req.Queries)+len(req.Sources) == 0 {
		return nil
	}
	return req
}
