package bus

import (
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// What comes from another replica for the listeners of this one. The other one keeps
// it until it has credit for it, and gives no more than the window of each listener.
//
//	r1                                 r2
//	  queue 7, for X ──── delivery ───▶ queue{7} ── offered to X's inbox here
//	  sent: 1 2 3     ◀─── credit ─────  1 ✓ 2 3   when X has dealt with 1
//
// Credit goes in the order of the deliveries, which is how the other one counts it, also
// when several listen to X here and one is slow. What has no listener yet (an alias
// may be known there first) waits for it, Limits.WaitTime at most.

// queue is what has come out of one inbox of the other replica and is not dealt with
// yet. The link's mutex guards it.
type queue struct {
	link   *link
	number uint64
	name   string // the listener
	at     string // the address that the name leads to
	since  uint64 // the change by which the other one was told of that listener
	items  fifo[*fromReplica]
	bytes  int    // of items
	idle   int    // of items, at the end: those that have no listener yet
	credit uint32 // bytes to give back
	dirty  bool   // it is in link.dirty
	over   bool   // the stream has ended, or the listener was cut off: the other one keeps it all
}

// fromReplica is one delivery of another replica, as the poster of what it is here.
type fromReplica struct {
	queue *queue
	size  uint32
	post  *post
	dealt bool
	kept  bool  // for a client that is away (late.go)
	why   error // it was refused
	since time.Time
}

func (*fromReplica) component() pb.Component     { return pb.Component_COMPONENT_BUS }
func (*fromReplica) outcome(*pb.Outcome, *burst) {}
func (*fromReplica) charge(int)                  {}
func (*fromReplica) sendBack(*post, ...string)   {}

// settled gives credit for it, and for those behind it that have been dealt with.
func (f *fromReplica) settled(_ *post, err error) {
	l := f.queue.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if !f.dealt {
		f.dealt, f.why = true, err
		f.queue.advance()
	}
}

// keep notes that it is kept for a client that is away.
func (f *fromReplica) keep() {
	l := f.queue.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if !f.dealt {
		f.kept = true
		f.queue.advance()
	}
}

// advance gives credit for what has been dealt with, in order. What is only kept counts as
// that once it is in the way of others: half of what the other replica may send is here.
func (q *queue) advance() {
	if q.over {
		return
	}
	for q.items.len() > 0 {
		f := *q.items.first()
		f.dealt = f.dealt || f.kept && q.bytes > q.link.bus.limits.Window/2
		if !f.dealt {
			return
		}
		q.bytes -= int(f.size)
		q.give(q.items.pop())
	}
	q.tidy()
}

// tidy forgets a queue that has nothing, not even credit to give: what comes next in it
// must not overtake that.
func (q *queue) tidy() {
	if q.items.len() == 0 && !q.dirty && q.link.queues[q.number] == q {
		delete(q.link.queues, q.number)
	}
}

// give has credit given for one.
func (q *queue) give(f *fromReplica) {
	l := q.link
	if f.why != nil {
		l.credits = q.flush(l.credits)
		l.credits = append(l.credits, &pb.Credit{Listener: q.name, Queue: q.number, Bytes: f.size, Refused: outcomeOf(0, f.why)})
		signal(l.wake)
		return
	}
	q.credit += f.size
	if !q.dirty {
		q.dirty = true
		l.dirty = append(l.dirty, q)
	}
	signal(l.wake)
}

// flush adds the credit that has not been given to that of a frame.
func (q *queue) flush(credits []*pb.Credit) []*pb.Credit {
	if q.credit > 0 && !q.over {
		credits = append(credits, &pb.Credit{Listener: q.name, Queue: q.number, Bytes: q.credit})
	}
	q.credit = 0
	return credits
}

// drop notes that a post is not to be dealt with here any more: its listener was cut
// off, and the replica that it came from has it for whoever comes in its place.
func (f *fromReplica) drop() {
	q, l := f.queue, f.queue.link
	l.mu.Lock()
	defer l.mu.Unlock()
	l.credits = q.flush(l.credits)
	q.over = true
	if l.queues[q.number] == q {
		delete(l.queues, q.number)
	}
}

// dropped tells whether a post came from another replica, and is left to it. What that
// one has handed over is for no listener that it knows of, and stays here.
func (p *post) dropped() bool {
	f, ok := p.by.(*fromReplica)
	if ok = ok && !p.handed; ok {
		f.drop()
		p.over.Store(true)
	}
	return ok
}

// take takes a delivery.
func (l *link) take(d *pb.Delivery) {
	l.taking.Lock()
	defer l.taking.Unlock()
	m := d.GetMessage()
	if m == nil {
		return
	}
	handed := d.GetListener() == l.mesh.handedName(l.mesh.id)
	f, offered := l.enqueue(d, handed)
	if f == nil {
		return
	}
	f.post.handed = handed
	if d.GetFrom().GetAwaited() {
		l.mesh.waits(elsewhere{l.member.ID, string(m.Origin), m.Number}, message.KeyOf(m))
	}
	switch {
	case handed:
		l.bus.deliver(f.post)
	case offered:
		l.offer(f)
	}
}

// enqueue notes a delivery; offered tells whether it may be offered now, as none before
// it waits. Nil when it is for a listener that is not here any more: the other replica
// has been told so, and keeps it or refuses it.
func (l *link) enqueue(d *pb.Delivery, handed bool) (f *fromReplica, offered bool) {
	m, size := d.GetMessage(), codec.Size(d.GetMessage())
	at, number := d.GetFrom().GetLeadsTo(), d.GetFrom().GetQueue()
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.listed[at]
	if handed {
		of = &listed{}
	} else if of == nil || !of.here || of.ending > 0 {
		return nil, false
	}
	q := l.queues[number]
	if q == nil {
		q = &queue{link: l, number: number, name: d.GetListener()}
		l.queues[q.number] = q
	}
	if q.items.len() == 0 {
		q.at, q.since = at, of.since
	}
	f = &fromReplica{queue: q, size: uint32(size), since: time.Now()} // a message is smaller than 4 GiB
	f.post = newPost(f, m)
	f.post.size, f.post.meshed, f.post.verified = size, true, true
	q.items.push(f)
	q.bytes += size
	if q.idle > 0 {
		q.idle++
		return f, false
	}
	q.advance()
	return f, true
}

// offer offers a delivery to the listeners here; without one it waits.
func (l *link) offer(f *fromReplica) bool {
	found, done, err := l.bus.table.offerHere(f)
	if !found {
		l.mu.Lock()
		f.queue.idle++
		l.mu.Unlock()
		return false
	}
	if done {
		l.bus.settle(f.post, err)
	}
	return true
}

// offerHere offers a delivery to the listeners of its name that are of this replica.
func (t *table) offerHere(f *fromReplica) (found, done bool, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if f.outdated() {
		return true, false, nil
	}
	pl := t.places[f.queue.name]
	if pl == nil {
		return false, false, nil
	}
	takers := pl.here()
	if len(takers) == 0 {
		return false, false, nil
	}
	done, err = offer(f.post, takers)
	return true, done, err
}

// outdated tells whether the listener that a delivery came for has gone since, though it
// may be back: the other replica is told that too, and what it keeps it sends again. The
// table is locked.
func (f *fromReplica) outdated() bool {
	q, l := f.queue, f.queue.link
	l.mu.Lock()
	of := l.listed[q.at]
	is := of == nil || !of.here || of.since != q.since
	l.mu.Unlock()
	if is {
		f.drop()
		f.post.over.Store(true)
	}
	return is
}

// here are the takers that are of this replica.
func (pl *place) here() []*inbox {
	for i, in := range pl.takers {
		if in.stream.peer == "" {
			continue
		}
		own := append([]*inbox(nil), pl.takers[:i]...)
		for _, in := range pl.takers[i+1:] {
			if in.stream.peer == "" {
				own = append(own, in)
			}
		}
		return own
	}
	return pl.takers
}

// lookAgain offers what has waited for a listener.
func (l *link) lookAgain() {
	l.taking.Lock()
	defer l.taking.Unlock()
	for _, q := range l.waiting() {
		for f := q.firstIdle(); f != nil && l.retry(f); f = q.firstIdle() {
			continue
		}
	}
}

// waiting are the queues that have something without a listener.
func (l *link) waiting() (out []*queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.queues {
		if q.idle > 0 {
			out = append(out, q)
		}
	}
	return out
}

// firstIdle is the first that waits for a listener; nil when there is none.
func (q *queue) firstIdle() *fromReplica {
	q.link.mu.Lock()
	defer q.link.mu.Unlock()
	if q.idle == 0 || q.over {
		return nil
	}
	return *q.items.fromEnd(q.idle)
}

// retry offers one that waits; false when it waits on.
func (l *link) retry(f *fromReplica) bool {
	l.mu.Lock()
	f.queue.idle--
	l.mu.Unlock()
	return l.offer(f)
}

// expire refuses what has waited too long for a listener.
func (l *link) expire(now time.Time) {
	l.taking.Lock()
	defer l.taking.Unlock()
	for _, q := range l.waiting() {
		for f := q.firstIdle(); f != nil && now.Sub(f.since) > l.bus.limits.WaitTime; f = q.firstIdle() {
			l.mu.Lock()
			q.idle--
			l.mu.Unlock()
			l.bus.settle(f.post, nobodyListens(q.name))
		}
	}
}
