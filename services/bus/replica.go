package bus

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// What another replica that has attached here says on its stream.

// takeReplica takes a request of another replica.
func (s *stream) takeReplica(req *pb.AttachRequest) {
	for _, c := range req.GetChanges() {
		s.shareChange(c)
	}
	for _, a := range req.GetAwaited() {
		s.bus.mesh.waits(s.peer, message.Key{From: a.GetFrom(), To: a.GetTo(), ID: a.GetId()})
	}
	for _, p := range req.GetPosts() {
		s.bus.takeForward(p)
	}
}

// shareChange takes a change at the other replica.
func (s *stream) shareChange(c *pb.ReplicaChange) {
	b, t := s.bus, s.bus.table
	var verdicts []verdict
	var err error
	switch {
	case c.GetComplete():
		b.mesh.toldAll(s)
	case c.GetAddress() == "":
		var here bool
		if here, verdicts = t.clientAt(s, c); here {
			b.origins.leave(c.GetClient(), c.GetAttachment())
		}
	case c.GetRemove():
		verdicts = t.removeShared(s, c)
	default:
		verdicts, err = t.addShared(s, c)
	}
	b.carryOut(verdicts)
	if err != nil {
		b.metrics.refused(reasonOf(err))
		b.log.Warn("a listener of another replica was refused", "replica", s.peer, "address", c.GetAddress(), "leads_to", c.GetLeadsTo(), "error", err)
	}
	s.outcome(outcomeOf(c.GetSequence(), err))
}

// leave ends the stream of a client that has attached to another replica since, and
// waits until it has left nothing here.
func (t *origins) leave(id []byte, attachment uint64) {
	t.mu.Lock()
	o := t.byID[string(id)]
	t.mu.Unlock()
	if o == nil {
		return
	}
	o.mu.Lock()
	s := o.now
	o.mu.Unlock()
	if s == nil || s.attachment.Load() >= attachment {
		return
	}
	s.cancel(errMoved)
	<-s.gone
}
