package bus

import (
	"math"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// inbox is the queue of a stream for one listener, under the name by which the
// stream knows it. All its fields below mu are guarded by the stream's mutex.
//
//	offer ──▶ queue ──(window)──▶ the stream's writer
//	   └────▶ overflow ──▲  while the queue is full; its posters are charged
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

	// guarded by stream.mu
	window   int // bytes that may be under way
	underWay int // bytes sent and not given back
	queue    fifo[*post]
	bytes    int // in queue
	overflow fifo[waiting]
	timer    *time.Timer // for the first of overflow; nil before it is needed
	stuck    bool
	ready    bool // it stands in stream.ready
	closed   bool
}

// unlimited is the window of a Listen stream, which cannot give credit: gRPC's
// own flow control holds it back.
const unlimited = math.MaxInt

// offer takes a post into the queue (taken), or into the overflow (neither
// taken nor an error): then its verdict comes later.
func (in *inbox) offer(p *post) (taken bool, err error) {
	s := in.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	switch limits := s.limits; {
	case in.closed:
		return false, in.gone()
	case in.stuck:
		return false, refuse(reasonStuck, 429, "%s takes nothing at the moment", in.name)
	case s.queued+p.cost() > limits.StreamBytes && s.queued > 0:
		return false, refuse(reasonStreamFull, 429, "%d bytes wait for the listeners of %q already", s.queued, s.name)
	case in.overflow.len() == 0 && in.fits(p):
		in.enqueue(p)
		return true, nil
	case p.by == poster(itself{}), p.by == poster(s) && s.overdrawn():
		// The bus waits for nobody. A stream's credit comes behind its posts:
		// holding them would keep it away.
		return false, in.full()
	}
	in.wait(p)
	return false, nil
}

func (in *inbox) fits(p *post) bool {
	l := in.stream.limits
	return in.queue.len() == 0 || in.bytes+p.size <= l.QueueBytes && in.queue.len() < l.QueueMessages
}

func (in *inbox) enqueue(p *post) {
	in.queue.push(p)
	in.bytes += p.size
	in.stream.queued += p.cost()
	in.stream.metrics.delivered(in.stream.comp)
	in.arm()
}

// arm puts the inbox in front of the writer when it has something that its
// window lets out. The window may be overdrawn by one message, so that any size
// goes through any window.
func (in *inbox) arm() {
	if in.ready || in.queue.len() == 0 || in.underWay >= in.window {
		return
	}
	in.ready = true
	in.stream.ready.push(in)
	in.stream.signal()
}

func (in *inbox) wait(p *post) {
	patience := in.stream.limits.FullTime
	if in.overflow.len() == 0 {
		if in.timer == nil {
			in.timer = time.AfterFunc(patience, in.impatient)
		} else {
			in.timer.Reset(patience)
		}
	}
	in.overflow.push(waiting{p, time.Now().Add(patience)})
	p.by.charge(p.cost())
}

// leave takes the first out of the overflow.
func (in *inbox) leave() *post {
	p := in.overflow.pop().post
	p.by.charge(-p.cost())
	return p
}

// send takes the first of the queue for the writer, and lets in what waits in
// the overflow; that is accepted now.
func (in *inbox) send(accepted []*post) (*pb.Delivery, []*post) {
	p := in.queue.pop()
	in.bytes -= p.size
	in.stream.queued -= p.cost()
	if in.window != unlimited {
		in.underWay += p.size
	}
	for in.overflow.len() > 0 && in.fits(in.overflow.first().post) {
		first := in.leave()
		in.enqueue(first)
		accepted = append(accepted, first)
	}
	if l := in.stream.limits; in.stuck && in.bytes <= l.QueueBytes/2 && in.queue.len() <= l.QueueMessages/2 {
		in.stuck = false
	}
	return &pb.Delivery{Listener: in.name, Message: p.m}, accepted
}

// credit gives bytes back to the window. More than was under way is not there
// to give.
func (in *inbox) credit(bytes uint32) {
	in.underWay = max(0, in.underWay-int(bytes))
	in.arm()
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

// dismiss refuses all that waits in the overflow.
func (in *inbox) dismiss(why error) []verdict {
	var verdicts []verdict
	for in.overflow.len() > 0 {
		p := in.leave()
		if done, err := p.decide(why); done {
			verdicts = append(verdicts, verdict{p, err})
		}
	}
	return verdicts
}

// close ends the inbox. What it had not sent yet, and no other listener has,
// is refused.
func (in *inbox) close() []verdict {
	s := in.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	in.closed = true
	if s.inboxes[in.name] == in {
		delete(s.inboxes, in.name)
	}
	if in.timer != nil {
		in.timer.Stop()
	}
	verdicts := in.dismiss(in.gone())
	for _, p := range in.queue.drain() {
		s.queued -= p.cost()
		if !p.fanned {
			verdicts = append(verdicts, verdict{p, in.gone()})
		}
	}
	in.bytes = 0
	return verdicts
}

func (in *inbox) full() error {
	return refuse(reasonQueueFull, 429, "the queue of %s has been full for %s", in.name, in.stream.limits.FullTime)
}

func (in *inbox) gone() error {
	return refuse(reasonGone, 503, "the listener of %s went away", in.name)
}
