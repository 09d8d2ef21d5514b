package bus

import (
	"math"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/codec"
)

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
	first := &in.queue.first().part
	p := first.cut(in.sendable(*first, codec.FrameMessages-t.frame.messages, room))
	if first.len() == 0 {
		in.queue.pop()
	}
	in.pull(p.len(), p.size(), p.cost())
	in.underWay += p.size()
	in.sent.push(handed{item: item{part: p}})
	t.frame.addPart(p, in)
	return p.sizeInFrame(in)
}

// sendable is how many of the first posts of a batch may be sent now in a frame with room for so
// many messages, and bytes: one at least. It is mostly all of them.
func (in *inbox) sendable(p part, most, room int) int {
	n := min(p.len(), most)
	fits := func(n int) bool {
		return in.underWay+p.head(n-1).size() < in.window && p.head(n).sizeInFrame(in) <= room
	}
	if n == 1 || fits(n) {
		return n
	}
	for n = 1; fits(n + 1); n++ {
		continue
	}
	return n
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
	in.credited += uint64(given) // not negative
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
