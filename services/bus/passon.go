package bus

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// What stubs have from other runtimes for a flow comes to the replica that they are
// attached to. It is passed on to the one that it is for:
//
//	a message of a flow     the owner of the remote runtime (mesh.owner)
//	acks, and refusals      the one whose epoch they name: they are about its flows
//
// Nobody waits for that. What is lost is sent again by the flow, and the next ack says
// everything.

// Kinds of what is passed on, the values of a metric's label.
const (
	passedMessage = "message"
	passedAck     = "ack"
	passedRefusal = "refusal"
	passedLost    = "lost" // it was dropped
)

var passedKinds = []string{passedMessage, passedAck, passedRefusal, passedLost}

// maxHops is how often a message of a flow is passed on: once, and once more when the
// replicas do not agree yet who takes it.
const maxHops = 2

// passedOn is a stub at another replica as a poster.
type passedOn struct{ comp pb.Component }

func (p passedOn) component() pb.Component   { return p.comp }
func (passedOn) outcome(*pb.Outcome, *burst) {}
func (passedOn) settled(*post, error)        {}
func (passedOn) charge(int)                  {}
func (passedOn) sendBack(*post, ...string)   {}

// pass gives a post to another replica.
func (l *link) pass(p *post, m *pb.Message, kind string) {
	size, waiter := codec.Size(m), l.mesh.waiterOf(m)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up.Load() || l.bytes+size > l.bus.limits.PassBytes {
		l.bus.metrics.passed(passedLost)
		return
	}
	l.posts.push(&pb.Post{
		Message: m, Ingress: p.ingress,
		PassedOn: &pb.PassedOn{Component: p.by.component(), Hops: uint32(p.hops) + 1, Waiter: waiter},
	})
	l.bytes += size
	l.bus.metrics.passed(kind)
	signal(l.wake)
}

// takeForward takes what another replica has passed on.
func (b *Bus) takeForward(in *pb.Post) {
	m, passed := in.GetMessage(), in.GetPassedOn()
	if m.GetFlow() == nil || passed == nil {
		return
	}
	p := newPost(passedOn{componentOr(passed.GetComponent())}, m)
	p.ingress, p.hops, p.size, p.verified = in.GetIngress(), uint8(min(passed.GetHops(), maxHops)), codec.Size(m), true // small
	if passed.GetWaiter() != "" {
		b.mesh.waits(elsewhere{replica: passed.GetWaiter()}, message.AnswerKey(m))
	}
	b.flows.arrive(p)
}

// toOwner passes on a message of a flow that another replica takes.
func (m *mesh) toOwner(p *post) bool {
	if m == nil || p.hops >= maxHops {
		return false
	}
	owner := m.owner(p.m.Flow.Runtime).ID
	if owner == m.id {
		return false
	}
	l := m.linkTo(func(other *replica) bool { return other.member.ID == owner })
	if l == nil {
		return false
	}
	l.pass(p, p.m, passedMessage)
	return true
}

// toEpoch passes on what is about the flows of another replica.
func (m *mesh) toEpoch(p *post, epoch uint64, msg *pb.Message, kind string) {
	if m == nil || p.hops > 0 {
		return
	}
	if l := m.linkTo(func(other *replica) bool { return other.epoch == epoch }); l != nil {
		l.pass(p, msg, kind)
	}
}
