package bus

import (
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// Messages of a flow that are alike (codec.Inbound), follow each other, and whose turn it is
// are a batch, as plain posts are: when their source is approved, none of them has come
// before, and one listener of this runtime takes them.
//
//	frame of a stub: 41 42 43 44 ──▶ flow: their turn ──▶ batch 41–44 ──▶ queue of the listener
//	                                   ▲ 41–43 dealt with                       │
//	                                   └──────────────── credit ────────────────┘
//
// All that is not so comes one by one (flows.data).

// arrivals are messages of a flow as the poster of their batch.
type arrivals struct {
	arrival // the first
	ingress *pb.Ingress
	run     *codec.Run // until it is taken
	talk    *talk
	also    map[uint64][]*post // the same messages, come again, by number; guarded by arrived.mu
}

// takeArrived takes a run of messages of a flow together; false when something stands
// against it, and nothing is done. What is wrong with one is found when it is taken by
// itself.
func (s *stream) takeArrived(req *codec.Request, run *codec.Run) bool {
	b, now := s.bus, time.Now()
	key, in := s.sourceOfRun(run)
	if !isBatch(run) || run.Type == message.Response || run.Type == message.FlowType || run.To == b.own ||
		!in || b.observed() || !b.mesh.owns(run.In.Flow.Runtime) || !validInbound(run.In) || !validRun(req, run) {
		return false
	}
	of := b.flows.known(&run.In.Flow, now)
	if of == nil {
		return false
	}
	of.order.Lock()
	defer of.order.Unlock()
	if !b.sources.known(&of.lastSource, key, sourceKey{from: key.from, remote: of.remote.url, node: true}) ||
		!b.table.takeArrived(s, of, req, run, now) {
		return false
	}
	s.metrics.postedBy[s.comp].Add(float64(run.Len()))
	return true
}

// sourceOfRun gives what the registry must approve of messages of a flow; not ok where
// they may not come from.
func (s *stream) sourceOfRun(run *codec.Run) (k sourceKey, ok bool) {
	remote := run.In.Ingress.GetRemoteRuntimeUrl()
	switch {
	case remote != "" && remote != run.In.Flow.Runtime: // a peer speaks for itself alone
		return k, false
	case s.comp == pb.Component_COMPONENT_NODE_STUB:
		return sourceKey{from: run.From, node: true}, true
	}
	return sourceKey{from: run.From, remote: remote}, s.comp == pb.Component_COMPONENT_P2P_STUB && remote != ""
}

// validInbound tells whether a message that has this may be taken.
func validInbound(in *codec.Inbound) bool {
	return len(in.Via) <= address.MaxLength && len(in.Origin) <= message.MaxOrigin && len(in.Flow.Replica) <= message.MaxReplica
}

// takeArrived has the listener take messages whose turn it is, if it is the only one and
// they are all fresh.
func (t *table) takeArrived(s *stream, of *inflow, req *codec.Request, run *codec.Run, now time.Time) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	to := t.onlyTaker(run.To)
	if to == nil || to.stub == run.In.Via { // it does not go back where it came from
		return false
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	place, sizes := of.take(req, run)
	if sizes == nil {
		return false
	}
	b := arrivedBatch(s, of, to.name, req, run)
	if !to.offerArrived(b) {
		b.free(run.Len())
		return false
	}
	of.receiver.ReceiveRun(now, place, sizes)
	of.used = now
	of.cameBy(s.comp)
	of.count()
	of.plan(now)
	return true
}

// take gives the place of a run and the size of each of its messages, with all that they
// take in memory; nil when they are not to be taken together.
func (in *inflow) take(req *codec.Request, run *codec.Run) (p flow.Place, sizes []int) {
	sum, last := 0, 0
	in.sizes = req.Sizes(in.sizes[:0], run)
	for i := range in.sizes {
		in.sizes[i] += overhead
		last = in.sizes[i]
		sum += last
	}
	fl := &run.In.Flow
	p = flow.Place{Sequence: fl.Sequence, Base: fl.Base, After: fl.After}
	if in.closed || !in.hasRoom(sum-last, last) || !in.receiver.Takes(p, run.Len(), sum) {
		return p, nil
	}
	return p, in.sizes
}

// arrivedBatch makes a batch of the messages of a run, for a listener of that name.
func arrivedBatch(s *stream, of *inflow, listener string, req *codec.Request, run *codec.Run) *batch {
	b := newBatch(run.Len(), run.First)
	b.arrivals = arrivals{arrival: arrival{of, run.In.Flow.Sequence, s.comp}, ingress: run.In.Ingress, run: run}
	b.by, b.burst, b.course = &b.arrivals, &s.burst, inDirect
	if s.comp == pb.Component_COMPONENT_NODE_STUB {
		b.course = inRelay
	}
	b.takeRun(listener, req, run, nil)
	return b
}

// offerArrived takes a batch of messages of a flow into the queue, however full that is.
func (in *inbox) offerArrived(b *batch) bool {
	in.stream.mu.Lock()
	defer in.stream.mu.Unlock()
	if in.closed || !b.by.takeBatch(b) {
		return false
	}
	in.enqueueBatch(b.all())
	return true
}

func (a *arrivals) takeBatch(b *batch) bool {
	run := a.run
	a.run = nil // it is the frame's
	return a.in.flows.seen.takeBatch(b, talkOf(&pb.Message{From: run.From, To: run.To, Origin: run.In.Origin}))
}

func (a *arrivals) settledPart(p part) {
	first := a.sequence + uint64(p.from)          // not negative
	a.in.dealtRun(first, first+uint64(p.len())-1) // likewise
	a.in.flows.seen.overPart(p)
}

func (a *arrivals) opens(p part, posts []*post) {
	for i, one := range posts {
		one.by = &arrival{a.in, a.sequence + uint64(p.from+i), a.via} // not negative
		one.ingress, one.flowing = a.ingress, true
		one.trail.tally = a.in.flows.bus.metrics.tally
	}
	a.in.flows.seen.opened(p, posts)
}

// dealtRun is dealt of messages from first to last, by their listener.
func (in *inflow) dealtRun(first, last uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := time.Now()
	in.used = now
	in.receiver.DealtRun(now, first, last)
	in.count()
	in.plan(now)
}

// takeBatch notes a batch, if its messages are the first with their numbers.
func (t *arrived) takeBatch(b *batch, k talkKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := b.all()
	if is := t.talk(k); is != nil && !is.below(b.first) {
		return false
	}
	if !t.marks.TakeIn(t.marks.Conversation(k.from, k.to, []byte(k.origin)), all.first(), all.last()) {
		return false
	}
	is := t.begin(k)
	is.batches.add(all)
	b.arrivals.talk = is
	return true
}

// overPart settles with messages of a batch those that came again.
func (t *arrived) overPart(p part) {
	a := &p.of.arrivals
	t.mu.Lock()
	a.talk.batches.remove(p)
	t.tidy(a.talk)
	also := a.leave(p.first(), p.len())
	t.mu.Unlock()
	for _, q := range also {
		q.end(nil)
	}
}

// opened notes that messages of a batch are posts from now on.
func (t *arrived) opened(p part, posts []*post) {
	a := &p.of.arrivals
	t.mu.Lock()
	defer t.mu.Unlock()
	a.talk.batches.remove(p)
	a.talk.open.insert(posts)
	for _, one := range posts {
		one.also = a.leave(one.m.Number, 1)
	}
}

// again notes a post that is one of the messages, come again.
func (a *arrivals) again(p *post) {
	if a.also == nil {
		a.also = map[uint64][]*post{}
	}
	a.also[p.m.Number] = append(a.also[p.m.Number], p)
}

// leave takes those out that came again, of n numbers from first on.
func (a *arrivals) leave(first uint64, n int) (out []*post) {
	for i := 0; i < n && len(a.also) > 0; i++ {
		number := first + uint64(i) // not negative
		out = append(out, a.also[number]...)
		delete(a.also, number)
	}
	return out
}
