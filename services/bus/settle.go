package bus

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/message"
)

func (b *Bus) respond(q *request, p *post) {
	b.metrics.delivered(q.post.by.component(), 1)
	b.mesh.gave(q, p.m)
	b.trace("delivered", p.m, "listener", p.m.To, "component", label(q.post.by.component()))
	if q.post.span.On() {
		_, err := message.Result(p.m)
		q.post.span.Fail(err)
	}
	response := b.point.Mark(p.m, tracing.Deliver, nil)
	q.post.tellBy(&pb.Outcome{Sequence: q.post.sequence, Code: int32(fault.OK), Response: response}, p.burst)
	q.post.end(nil)
	p.went(q.post.by.component())
	b.settle(p, nil)
}

// carryOut settles decided posts. No lock may be held.
func (b *Bus) carryOut(verdicts []verdict) {
	for _, v := range verdicts {
		if v.done {
			b.finish(v.post)
		} else {
			b.settle(v.post, v.err)
		}
	}
}

// settle tells a poster how its post was decided: accepted, or refused. A
// refusal that it has no outcome for goes as a response to the message's sender; a
// response is never answered. An accepted post is settled later (finish).
func (b *Bus) settle(p *post, err error) {
	if err == nil {
		p.countAccepted()
		if p.request == nil && p.sequence != 0 && p.wait != pb.Wait_WAIT_DELIVERED {
			p.tell(outcomeOf(p.sequence, nil))
		}
		if p.owed.Load() == 0 { // nobody has to deal with it, or all have already
			b.finish(p)
		}
		return
	}
	if b.lastResort(p, err) {
		return
	}
	b.traceRefused(p, err)
	if p.request != nil && !b.requests.end(p.request) { // its sender was told, and that counted, or has gone
		p.end(err)
		return
	}
	if p.by != (itself{}) { // a refusal that nobody wants is not another one
		b.metrics.refused(reasonOf(err))
	}
	switch {
	case p.request != nil:
		b.metrics.request("refused")
		p.tell(outcomeOf(p.sequence, err))
	case p.flowing, p.meshed: // the bus that it came from is told, and tells its sender
	case p.sequence != 0 && p.told.Load() == nil:
		p.tell(outcomeOf(p.sequence, err))
	case p.m != nil && !message.IsResponse(p.m):
		b.refuse(p, err)
	}
	p.end(err)
}

// finish settles a post that all its receivers have dealt with. A request is
// settled by its response, or by its time.
func (b *Bus) finish(p *post) {
	if p.request != nil {
		return
	}
	if p.sequence != 0 {
		p.tell(outcomeOf(p.sequence, nil))
	}
	p.end(nil)
}

// settler is told together of posts that were dealt with.
type settler interface{ settledAll(posts []*post) }

// settlerOf gives that of a post; nil when its poster is told of it alone.
func settlerOf(p *post) settler {
	switch by := p.by.(type) {
	case *stream:
		if p.number > 0 {
			return by
		}
	case *arrival:
		return by.in
	}
	return nil
}

// finishAll finishes posts of which the last receiver has dealt with them. Those of one
// stream or flow that follow each other are settled together.
func (b *Bus) finishAll(posts []*post) {
	var of settler
	run := posts[:0] // behind what is looked at
	for _, p := range posts {
		if p.request != nil {
			continue
		}
		if p.sequence != 0 {
			p.tell(outcomeOf(p.sequence, nil))
		}
		s := settlerOf(p)
		switch {
		case !p.close(nil):
			continue
		case s == nil:
			p.by.settled(p, nil)
			continue
		case s != of && len(run) > 0:
			of.settledAll(run)
			run = run[:0]
		}
		of, run = s, append(run, p)
	}
	if len(run) > 0 {
		of.settledAll(run)
	}
}

// refuse answers a message with why it is refused. As long as its source has
// not been approved the answer only goes back to where it was posted: nobody
// can have others told that their requests have failed. A stub is told of which
// runtime the message was.
func (b *Bus) refuse(p *post, why error) {
	answer := message.Refuse(b.point.Hop(p.m, message.HopRefused), why)
	switch {
	case p.verified:
		b.deliver(b.ownPost(answer))
	case p.ingress != nil:
		answer.Source = p.ingress.GetRemoteRuntimeUrl()
		p.by.sendBack(b.ownPost(answer), p.m.Via)
	default:
		p.by.sendBack(b.ownPost(answer), p.m.From)
	}
}

// refuseRemotely refuses a post that had left: a request has a response, as it
// would have from whoever refused it.
func (b *Bus) refuseRemotely(p *post, why error) {
	if p.request == nil {
		b.settle(p, why)
		return
	}
	if !p.request.over.Load() { // else its sender was told, and that counted, or has gone
		p.countEnd(why) // before its response ends it
		b.metrics.refused(reasonOf(why))
		b.traceRefused(p, why)
	}
	b.refuse(p, why)
}

// ownPost makes a post of the bus itself.
func (b *Bus) ownPost(m *pb.Message) *post {
	p := newPost(itself{}, m)
	p.measure()
	b.begin(p)
	return p
}

// itself is the bus as a poster: of refusals, which nobody waits for.
type itself struct{}

func (itself) component() pb.Component     { return pb.Component_COMPONENT_UNSPECIFIED }
func (itself) outcome(*pb.Outcome, *burst) {}
func (itself) settled(*post, error)        {}
func (itself) charge(int)                  {}
func (itself) sendBack(*post, ...string)   {}
