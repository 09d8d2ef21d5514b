package bus

import (
	"math"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
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
	given    int // bytes of credit that no whole message of sent has used up
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

// handed is a post, or posts of a batch, that its listener has, and has not dealt with.
type handed struct {
	item
	extra *handedTrace // nil for a message without a trace
}

// handedTrace is what a listener's copy of a message in a trace has of its own.
type handedTrace struct {
	size int // bytes
	span tracing.Span
}

// size is how many bytes the message has as the listener got it.
func (h handed) size() int {
	if h.extra != nil {
		return h.extra.size
	}
	return h.item.size()
}

// dealt counts its listener as one that has dealt with it.
func (h handed) dealt() (last bool) {
	h.end(nil)
	return h.post.dealt()
}

// end ends the span of its listener, with an error or nil.
func (h handed) end(err error) {
	if h.extra != nil {
		h.extra.span.End(err)
	}
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
	case p.by == poster(itself{}), p.by == poster(s) && s.overdraws(p.cost()):
		// The bus waits for nobody. A stream's credit comes behind its posts:
		// holding them would keep it away.
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
	if in.hungry == nil {
		in.hungry = map[*outflow]struct{}{}
	}
	in.hungry[f] = struct{}{}
	return false
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
	in.stream.metrics.tally.messages[outLocal].accepted.Add(float64(p.len()))
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

// send takes the first of the queue for the writer, of a batch what fits into room, and
// lets in what waits in the overflow; that is accepted now. It gives how many bytes it
// has taken.
func (in *inbox) send(t *taking, room int) (bytes int) {
	if p := in.queue.first().post; p != nil {
		in.queue.pop()
		in.pull(1, p.size, p.cost())
		in.sendPost(t, p)
		bytes = p.size + len(in.name)
	} else {
		bytes = in.sendPart(t, room)
	}
	for in.overflow.len() > 0 && in.fits(in.overflow.first().item) {
		if first := in.leave(); first.post != nil {
			in.enqueue(first.post)
			t.accepted = append(t.accepted, first.post)
		} else {
			in.enqueueBatch(first.part)
		}
	}
	for f := range in.feed() {
		t.hungry = append(t.hungry, f)
	}
	if l := in.stream.limits; in.stuck && in.bytes <= l.QueueBytes/2 && in.messages <= l.QueueMessages/2 {
		in.stuck = false
	}
	return bytes
}

// sendPart takes posts of the batch that is the first in the queue: as many as fit, at
// least one.
func (in *inbox) sendPart(t *taking, room int) (bytes int) {
	first := in.queue.first()
	from := first.part.of.before(first.part.from).sum
	n := 0
	for most := min(first.part.len(), message.MaxFrames-t.frame.messages); n < most && in.underWay+bytes < in.window; n++ {
		next := first.part.of.places[first.part.from+n].sum - from
		if n > 0 && next+n*len(in.name) > room {
			break
		}
		bytes = next
	}
	p := first.part.cut(n)
	if first.part.len() == 0 {
		in.queue.pop()
	}
	in.pull(n, bytes, p.cost())
	in.underWay += bytes
	in.sent.push(handed{item: item{part: p}})
	t.frame.addPart(p)
	return bytes + n*len(in.name)
}

// sendPost puts a post into the frame. A listener that gives no credit has dealt with it
// once it is sent.
func (in *inbox) sendPost(t *taking, p *post) {
	m, h := in.hand(p)
	encoded := codec.Parts{Head: p.encoded, Tail: p.tail}
	if m != p.m {
		encoded = codec.Parts{}
	}
	d := t.frame.add(encoded)
	if in.window != unlimited {
		in.underWay += h.size()
		in.sent.push(h)
	} else {
		t.sent = append(t.sent, h)
	}
	d.Listener, d.Message = in.name, m
	if in.number != 0 {
		d.From = &pb.FromQueue{Queue: in.number, LeadsTo: in.stub, Awaited: p.request != nil || p.awaited}
	}
}

// hand gives a post's message as its listener gets it. A stub is on its way only, and
// says so itself; so is another replica.
func (in *inbox) hand(p *post) (*pb.Message, handed) {
	if isStub(in.stream.comp) || in.stream.peer != "" {
		return p.m, handed{item: item{post: p}}
	}
	if p.m.Trace == nil {
		in.stream.bus.asked.note(p.m)
		return p.m, handed{item: item{post: p}}
	}
	m, span := in.stream.bus.point.Start(p.m, tracing.Deliver)
	in.stream.bus.asked.note(m)
	return m, handed{item{post: p}, &handedTrace{codec.Size(m), span}}
}

// credit gives bytes back to the window, and adds what is settled by that to what is
// dealt with. More than was under way is not there to give.
func (in *inbox) credit(bytes uint32, settled *dealt) {
	given := min(int(bytes), in.underWay)
	in.underWay -= given
	in.given += given
	for in.sent.len() > 0 {
		first := in.sent.first()
		if first.post == nil {
			if !in.creditPart(&first.part, settled) {
				break
			}
			continue
		}
		if in.given < first.size() {
			break
		}
		h := in.sent.pop()
		if in.given -= h.size(); h.dealt() {
			settled.posts = append(settled.posts, h.post)
		}
	}
	in.opened()
}

// creditPart is credit of the first posts of a batch; false when it is not for all.
func (in *inbox) creditPart(p *part, settled *dealt) (all bool) {
	n := p.upTo(in.given)
	if n == 0 {
		return false
	}
	done := p.cut(n)
	in.given -= done.size()
	settled.parts = append(settled.parts, done)
	if p.len() > 0 {
		return false
	}
	in.sent.pop()
	return true
}

// refuse takes the word of another replica that the next post, of so many bytes, was
// refused there. Of any other number it is a credit.
func (in *inbox) refuse(bytes uint32, why error) (verdicts []verdict) {
	if in.given > 0 || in.sent.len() == 0 || in.sent.first().size() != int(bytes) {
		var settled dealt
		in.credit(bytes, &settled)
		for _, p := range settled.posts { // of another replica there are no batches
			verdicts = append(verdicts, verdict{post: p, done: true})
		}
		return verdicts
	}
	h := in.sent.pop()
	in.underWay -= h.size()
	h.end(why)
	in.opened()
	return lose(verdicts, h.post, why)
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
		for _, p := range in.leaveAsPosts() {
			if done, err := p.decide(why); done {
				verdicts = append(verdicts, verdict{post: p, err: err})
			}
		}
	}
	return verdicts
}

// close ends the inbox. What it had not dealt with, and no other listener has,
// is refused; but what was sent to a stub may have left already. What was handed over to
// another replica has not.
func (in *inbox) close() (verdicts []verdict, hungry map[*outflow]struct{}) {
	s := in.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	in.end()
	verdicts = in.dismiss(in.gone())
	for _, h := range in.sent.drain() {
		h.end(in.gone())
		for _, p := range h.posts(true) {
			verdicts = in.lose(verdicts, p, in.comp == pb.Component_COMPONENT_APPLICATION || in.comp == pb.Component_COMPONENT_BUS)
		}
	}
	for _, p := range in.drainQueue() {
		verdicts = in.lose(verdicts, p, true)
	}
	hungry, in.hungry = in.hungry, nil
	return verdicts, hungry
}

func (in *inbox) end() {
	in.closed = true
	if in.stream.inboxes[in.name] == in {
		delete(in.stream.inboxes, in.name)
	}
	if in.timer != nil {
		in.timer.Stop()
	}
}

// lose counts a post that this listener will not deal with.
func (in *inbox) lose(verdicts []verdict, p *post, refused bool) []verdict {
	if refused {
		return lose(verdicts, p, in.gone())
	}
	return lose(verdicts, p, nil)
}

// lose counts a post that a listener will not deal with, for a reason, or, without one,
// that may have left already.
func lose(verdicts []verdict, p *post, why error) []verdict {
	switch last, refused := p.loses(why != nil); {
	case !last:
	case refused:
		return append(verdicts, verdict{post: p, err: why})
	default:
		return append(verdicts, verdict{post: p, done: true})
	}
	return verdicts
}

// leaveAll ends the inbox of a listener that may come back, and gives all that it
// has not dealt with, in order. Some of it may have reached it.
func (in *inbox) leaveAll() []*post {
	s := in.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	in.end()
	var all []*post
	for _, h := range in.sent.drain() {
		h.end(in.gone())
		all = append(all, h.posts(true)...)
	}
	all = append(all, in.drainQueue()...)
	for _, p := range all {
		p.returned = true
	}
	for in.overflow.len() > 0 {
		all = append(all, in.leaveAsPosts()...)
	}
	return all
}

// drainQueue empties the queue, and gives the posts that it had.
func (in *inbox) drainQueue() (all []*post) {
	for _, i := range in.queue.drain() {
		for _, p := range i.posts(true) {
			in.pull(1, p.size, p.cost())
			all = append(all, p)
		}
	}
	return all
}

func (in *inbox) full() error {
	return refuse(reasonQueueFull, 429, "the queue of %s has been full for %s", in.name, in.stream.limits.FullTime)
}

func (in *inbox) gone() error {
	return refuse(reasonGone, 503, "the listener of %s went away", in.name)
}
