package bus

import (
	"context"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// What another replica that has attached here says on its stream.

// admit checks the hello of another replica: it must be a member, which this one may be
// told of a moment later. Others wait until this bus has joined.
func (m *mesh) admit(ctx context.Context, s *stream, hello *pb.Hello) error {
	if s.comp != pb.Component_COMPONENT_BUS {
		return m.joined(ctx)
	}
	if m == nil {
		return fault.New(fault.Forbidden, "this bus has no replicas").In("component")
	}
	if to := hello.GetToReplica(); to != m.id {
		return fault.New(fault.NotFound, "the replica %.80q is not here any more", to).In("to_replica")
	}
	late := time.NewTimer(m.bus.limits.JoinTime)
	defer late.Stop()
	for {
		m.mu.Lock()
		p, changed := m.peers[hello.GetReplica()], m.changed
		known := p != nil && p.here
		m.mu.Unlock()
		if known {
			s.peer, s.limits = hello.GetReplica(), &m.limits
			s.clients = map[added]string{}
			return nil
		}
		select {
		case <-changed:
		case <-late.C:
			return fault.New(fault.Forbidden, "%.80q is no replica of this bus", hello.GetReplica()).In("replica")
		case <-ctx.Done():
			return endOf(ctx.Err())
		}
	}
}

// enter makes a stream that of a replica; an earlier one is ended first.
func (m *mesh) enter(s *stream, hello *pb.Hello) error {
	for {
		m.mu.Lock()
		p := m.peers[s.peer]
		if p == nil {
			m.mu.Unlock()
			return fault.New(fault.Unavailable, "the replica %s has gone", s.peer)
		}
		before := p.in
		if before == nil {
			p.in, p.told, p.epoch = s, false, hello.GetEpoch()
			p.handed = s.open(m.handedName(s.peer), m.handedName(s.peer), m.bus.limits.Window, pb.Component_COMPONENT_BUS)
			m.renew()
			m.mu.Unlock()
			return nil
		}
		m.mu.Unlock()
		before.cancel(errReplaced)
		<-before.gone
	}
}

// toldAll notes that a replica has told all that it has.
func (m *mesh) toldAll(s *stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[s.peer]; p != nil && p.in == s {
		p.told = true
		m.renew()
	}
}

// leave notes that the stream of a replica has ended. Another one may take its place
// from the moment at which nothing is known any more of what it told.
func (m *mesh) leave(s *stream) {
	if m == nil || s.peer == "" {
		return
	}
	m.bus.table.shaken()
	m.bus.table.clientsGone(s.peer)
	m.mu.Lock()
	var handed *inbox
	if p := m.peers[s.peer]; p != nil && p.in == s {
		handed = p.handed
		p.in, p.handed, p.told = nil, nil, false
		m.renew()
	}
	m.mu.Unlock()
	if handed != nil {
		m.bus.carryOut(m.bus.table.shut(handed))
	}
}

// takeReplica takes a request of another replica.
func (s *stream) takeReplica(req *pb.AttachRequest) {
	for _, c := range req.GetChanges() {
		s.shareChange(c)
	}
	for _, a := range req.GetAwaited() {
		at := elsewhere{s.peer, string(a.GetOrigin()), a.GetNumber()}
		s.bus.mesh.waits(at, message.Key{From: a.GetFrom(), To: a.GetTo(), ID: a.GetId()})
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
	}
	if err != nil && !s.warned { // it is told again and again
		s.warned = true
		b.log.Warn("a listener of another replica was refused", "replica", s.peer, "address", c.GetAddress(), "leads_to", c.GetLeadsTo(), "error", err)
	}
	s.outcome(outcomeOf(c.GetSequence(), err), nil)
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
