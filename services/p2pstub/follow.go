package p2pstub

import (
	"context"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/message"
)

// A Connection object changes rarely after its invitation: a candidate that was found
// late, a restart of ICE, its end. Towards a peer that says `atStub`, these messages go to
// its stub, and neither side subscribes anything for them.

// followers are who is told of the own object's changes. A peer's loop has it.
type followers struct {
	known bool          // it is known where changes go
	there bool          // the other side has the object: its stub takes no change before
	stub  string        // there; empty: to those who have subscribed
	held  []*pb.Message // until then; bounded by the candidates that are found
}

// meet is told what the other side's object says, once there is one, and whether the
// other side has the own one.
func (f *followers) meet(theirs datasync.Connection, stub string, there bool) (due []*pb.Message) {
	f.there = there
	if !f.known && theirs.Runtime != "" {
		f.known = true
		if theirs.AtStub {
			f.stub = stub
		}
	}
	if f.wait() {
		return nil
	}
	due, f.held = f.held, nil
	return due
}

// wait tells whether changes have to. Those who subscribe are given the whole object.
func (f *followers) wait() bool { return !f.known || f.stub != "" && !f.there }

// subscribed is told that somebody has had the whole object, and wants what comes then.
func (f *followers) subscribed() {
	if !f.known {
		f.known, f.held = true, nil
	}
}

// take gives a change that is to be sent now; nil when it has to wait.
func (f *followers) take(m *pb.Message) *pb.Message {
	if f.wait() {
		f.held = append(f.held, m)
		return nil
	}
	if f.stub != "" {
		m.To = f.stub
	}
	return m
}

// meet sends what has waited for the other side. A handler invites because it has
// the requester's object.
func (p *peer) meet() {
	there := p.role == requester || p.m.taken || p.m.open
	for _, m := range p.followers.meet(p.theirs(), p.invitee, there) {
		p.send(p.followers.take(m))
	}
}

// updated takes a change of the other side's object that has come to the stub.
func (s *Stub) updated(ctx context.Context, d *deployed, m *pb.Message) error {
	p := s.peerWith(m.From)
	if p == nil || p.url != d.url {
		return fault.New(fault.NotFound, "%s follows no object %.80q", d.url, m.From)
	}
	p.changed(ctx, m)
	return nil
}

// peerWith finds the peer whose other side has an object; nil when there is none.
func (s *Stub) peerWith(object string) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.all {
		if object != "" && p.now.object == object {
			return p
		}
	}
	return nil
}

// isGoodbye tells whether a message is the last of an object: nobody is there to be
// answered.
func isGoodbye(m *pb.Message) bool {
	return m.Type == message.Delete && strings.HasSuffix(m.From, address.SubscriptionSuffix)
}
