package bus

import (
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// inbox is the queue of a stream for one listener, under the name by which the
// stream knows it. All its fields below mu are guarded by the stream's mutex.
//
//	offer ──▶ queue ──(window)──▶ the stream's writer ──▶ sent ──(credit)──▶ dealt with
//	   └────▶ overflow ──▲  while the queue is full; its posters are charged
//
// What comes in a flow is taken however full the queue is: the flow's own bound
// holds its sender back. What goes out in one is not taken by a full queue, and is
// offered again when there is room (hungry).
//
// Full and stuck: what finds the queue full waits in the overflow. When the
// first of it has waited Limits.FullTime, all of it is refused and the inbox is
// stuck: it refuses at once, until half of its queue is free again.
type inbox struct {
	stream *stream
	name   string
	// stub is the address of the listener that the name leads to. A message
	// whose via it is came in there, and does not go back.
	stub string
	// comp is what the listener is of: its stream's, or, when that is of another
	// replica, what is attached there.
	comp pb.Component
	// number tells the queues for another replica apart; 0 otherwise.
	number uint64

	// guarded by stream.mu
	window   int // bytes that may be under way
	underWay int // bytes sent and not given back
	sent     fifo[handed]
	given    int    // bytes of credit that no whole message of sent has used up
	credited uint64 // bytes of all credit
	queue    fifo[item]
	bytes    int // in queue
	messages int // in queue
	overflow fifo[held]
	outside  int         // messages in overflow
	timer    *time.Timer // for the first of overflow; nil before it is needed
	hungry   map[*outflow]struct{}
	stuck    bool
	ready    bool // it stands in stream.ready
	closed   bool
}

// held is what waits in an overflow, and the end of its patience.
type held struct {
	item
	deadline time.Time
}

// offer takes a post into the queue (taken), or into the overflow (neither
// taken nor an error): then its verdict comes later.
func (in *inbox) offer(p *post) (taken bool, err error) {
	s := in.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	switch limits := s.limits; {
	case in.closed:
		return false, in.gone()
	case p.roomy():
		in.enqueue(p)
		return true, nil
	case in.stuck:
		return false, refuse(reasonStuck, 429, "%s takes nothing at the moment", in.name)
	case s.queued+p.cost() > limits.StreamBytes && s.queued > 0:
		return false, refuse(reasonStreamFull, 429, "%d bytes wait for the listeners of %q already", s.queued, s.name)
	case in.overflow.len() == 0 && in.fits(item{post: p}):
		in.enqueue(p)
		return true, nil
	case p.by == poster(itself{}):
		// The bus waits for nobody, and what it says, mostly refusals, takes the place of
		// what it has kept: of many at once none is lost for want of room.
		in.enqueue(p)
		return true, nil
	case p.by == poster(s) && s.overdraws(p.cost()):
		// A stream's credit comes behind its posts: holding them would keep it away.
		return false, in.full()
	}
	in.wait(item{post: p})
	return false, nil
}

// offerFlow takes a message of a flow to another runtime; when the queue is full,
// the flow is told once there is room.
func (in *inbox) offerFlow(p *post, f *outflow) (taken bool) {
	s := in.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.closed {
		return false
	}
	if in.overflow.len() == 0 && in.fits(item{post: p}) {
		in.enqueue(p)
		return true
	}
	in.starve(f)
	return false
}

// offerOne is offerFlow that gives how many were taken.
func (in *inbox) offerOne(p *post, f *outflow) int {
	if in.offerFlow(p, f) {
		return 1
	}
	return 0
}

// starve has a flow told once there is room.
func (in *inbox) starve(f *outflow) {
	if in.closed {
		return
	}
	if in.hungry == nil {
		in.hungry = map[*outflow]struct{}{}
	}
	in.hungry[f] = struct{}{}
}

// feed gives the flows that wait for room, when half of the queue is free.
func (in *inbox) feed() map[*outflow]struct{} {
	if l := in.stream.limits; len(in.hungry) == 0 || in.bytes > l.QueueBytes/2 || in.messages > l.QueueMessages/2 {
		return nil
	}
	hungry := in.hungry
	in.hungry = nil
	return hungry
}

func (in *inbox) fits(i item) bool {
	l := in.stream.limits
	return in.messages == 0 || in.bytes+i.size() <= l.QueueBytes && in.messages+i.count() <= l.QueueMessages
}

// push puts something into the queue.
func (in *inbox) push(i item) {
	in.queue.push(i)
	in.bytes += i.size()
	in.messages += i.count()
	in.stream.queued += i.cost()
	in.stream.metrics.delivered(in.stream.comp, i.count())
	if in.arm() {
		in.stream.wakeBy(i.burst())
	}
}

// pull notes that messages have left the queue.
func (in *inbox) pull(n, size, cost int) {
	in.bytes -= size
	in.messages -= n
	in.stream.queued -= cost
}

func (in *inbox) enqueue(p *post) {
	p.went(in.comp)
	in.push(item{post: p})
}

// enqueueBatch is enqueue of a batch, whose posts are accepted by that.
func (in *inbox) enqueueBatch(p part) {
	in.stream.metrics.tally.messages[p.of.course].accepted.Add(float64(p.len()))
	in.push(item{part: p})
}

// arm puts the inbox in front of the writer when it has something that its
// window lets out. The window may be overdrawn by one message, so that any size
// goes through any window. It tells whether the stream is to be written to for that.
func (in *inbox) arm() bool {
	if in.ready || in.queue.len() == 0 || in.underWay >= in.window {
		return false
	}
	in.ready = true
	in.stream.ready.push(in)
	return true
}

// opened arms the inbox when its window has opened.
func (in *inbox) opened() {
	if in.arm() {
		in.stream.signal()
	}
}

func (in *inbox) wait(i item) {
	patience := in.stream.limits.FullTime
	if in.overflow.len() == 0 {
		if in.timer == nil {
			in.timer = time.AfterFunc(patience, in.impatient)
		} else {
			in.timer.Reset(patience)
		}
	}
	in.overflow.push(held{i, time.Now().Add(patience)})
	in.outside += i.count()
	i.by().charge(i.cost())
}

// leave takes the first out of the overflow.
func (in *inbox) leave() item {
	first := in.overflow.pop().item
	in.outside -= first.count()
	first.by().charge(-first.cost())
	return first
}

// leaveAsPosts is leave of one that is to be posts, which nobody has taken.
func (in *inbox) leaveAsPosts() []*post {
	first := in.leave()
	return first.posts(false)
}

// impatient runs when the first of the overflow may have waited long enough.
func (in *inbox) impatient() {
	s := in.stream
	s.mu.Lock()
	var verdicts []verdict
	switch {
	case in.overflow.len() == 0:
	case time.Until(in.overflow.first().deadline) > 0:
		in.timer.Reset(time.Until(in.overflow.first().deadline))
	default:
		in.stuck = true
		s.metrics.stuck.Inc()
		verdicts = in.dismiss(in.full())
	}
	s.mu.Unlock()
	s.carryOut(verdicts)
}

func (in *inbox) full() error {
	return refuse(reasonQueueFull, 429, "the queue of %s has been full for %s", in.name, in.stream.limits.FullTime)
}
