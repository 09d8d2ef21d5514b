package p2pstub

import (
	"context"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/message"
)

// message takes what is addressed to a stub itself.
func (s *Stub) message(ctx context.Context, d *deployed, m *pb.Message) {
	var err error
	switch m.Type {
	case message.Response: // to something whose answer does not matter
		return
	case message.Create:
		s.invitation(ctx, d, m)
		return
	case message.Subscribe, message.Unsubscribe:
		if err = s.fromRegistry(m); err == nil {
			err = s.subscribe(ctx, d.url, m)
		}
	case message.Update:
		if err = s.updated(ctx, d, m); err == nil {
			return
		}
	case message.Delete:
		err = s.deleted(m)
	default:
		err = fault.New(fault.BadRequest, "a P2P stub takes no %s", m.Type)
	}
	switch {
	case err != nil:
		s.metrics.drop(dropStub)
		s.refuse(ctx, m, err)
	case !isGoodbye(m):
		s.answer(ctx, m)
	}
}

// fromRegistry tells whether a message is from this runtime's own registry. No one
// else can send as that: the bus sees to it.
func (s *Stub) fromRegistry(m *pb.Message) error {
	if own := address.Registry(s.runtime.Text); m.From != own {
		return fault.New(fault.Forbidden, "only %s may do this", own)
	}
	return nil
}

func (s *Stub) answer(ctx context.Context, m *pb.Message) {
	if err := s.bus.Send(ctx, message.Answer(m, fault.OK, nil)); err != nil {
		s.log.Debug("an answer could not be sent", "to", m.From, "error", err)
	}
}

// deleted ends the connection whose object, at the other side, is gone.
func (s *Stub) deleted(m *pb.Message) error {
	var body struct {
		Resource string `json:"resource"`
	}
	if err := message.UnmarshalBody(m, &body); err != nil {
		return err
	}
	if body.Resource == "" {
		return fault.New(fault.BadRequest, "delete names no resource")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.all {
		if p.now.object != body.Resource {
			continue
		}
		if p.now.atStub && m.From != body.Resource+address.SubscriptionSuffix {
			return fault.New(fault.Forbidden, "only %s itself tells of its end", body.Resource).In("from")
		}
		go p.tell(event{kind: deleted, reason: closedByOther(m)}) // ends with the peer
	}
	return nil // what is not there is gone already
}

// invitation takes a `create`: the beginning of a set-up for a handler, the
// other half of one for a requester.
func (s *Stub) invitation(ctx context.Context, d *deployed, m *pb.Message) {
	inv, remote, err := s.readInvitation(m)
	if err == nil && d.role == requester {
		err = s.forRequester(d, inv, remote)
	} else if err == nil {
		err = s.forHandler(ctx, d, inv, remote)
	}
	if err != nil {
		s.log.Debug("invitation refused", "from", m.From, "stub", d.url, "error", err)
		s.refuse(ctx, m, err)
	}
}

// readInvitation tells which runtime an invitation is from.
func (s *Stub) readInvitation(m *pb.Message) (invitation, string, error) {
	parsed, err := datasync.ParseInvitation(m)
	if err != nil {
		return invitation{}, "", err
	}
	name := parsed.Object.Connection().Runtime
	if name == "" {
		name = parsed.Object.Runtime
	}
	remote, err := address.ParseRuntime(name)
	if err != nil {
		return invitation{}, "", err
	}
	source, err := address.Parse(parsed.Source)
	if err != nil {
		return invitation{}, "", err
	}
	object, err := address.Parse(parsed.Object.URL)
	switch {
	case err != nil:
		return invitation{}, "", err
	case object.Kind != address.ConnectionData: // it would be listened to, and it is someone's
		return invitation{}, "", fault.New(fault.BadRequest, "%.80q is no Connection object", parsed.Object.URL)
	case source.Runtime != "" && source.Runtime != remote.Text:
		return invitation{}, "", fault.New(fault.Forbidden, "%s is no stub of %s", parsed.Source, remote.Text)
	case remote.Text == s.runtime.Text:
		return invitation{}, "", fault.New(fault.BadRequest, "a runtime cannot connect to itself")
	}
	// The request is kept to be answered, without its body, which may be large.
	return invitation{parsed, &pb.Message{Id: m.Id, Type: m.Type, From: m.From, To: m.To}}, remote.Text, nil
}

// forRequester gives the handler's invitation to the requester it is for.
func (s *Stub) forRequester(d *deployed, inv invitation, remote string) error {
	s.mu.Lock()
	p := d.peer
	switch {
	case p == nil:
		s.mu.Unlock()
		return fault.New(fault.NotFound, "%s has no connection", d.url)
	case p.remote != remote:
		s.mu.Unlock()
		return fault.New(fault.Forbidden, "%s waits for %s, not for %s", d.url, p.remote, remote)
	case p.now.object != "" && p.now.object != inv.Object.URL:
		s.mu.Unlock()
		return fault.New(fault.Conflict, "%s has been invited by another object", d.url)
	}
	again := p.now.object != ""
	p.now.source, p.now.object, p.now.created = inv.Source, inv.Object.URL, inv.Object.CreatedAt()
	p.now.atStub = inv.Object.Connection().AtStub
	p.info.Object = inv.Object.URL
	s.showSoon(p)
	s.mu.Unlock()
	p.post(func() {
		if again {
			p.send(message.Answer(inv.request, fault.OK, nil))
			return
		}
		p.inv = inv
		p.step(event{kind: invited, description: inv.Object.Connection().Description != nil})
	})
	return nil
}

// forHandler begins a set-up, unless this invitation has begun one before or
// the runtime's own goes first.
func (s *Stub) forHandler(ctx context.Context, d *deployed, inv invitation, remote string) error {
	again, err := s.admitInvitation(d, inv, remote)
	if again {
		s.answer(ctx, inv.request)
	}
	return err
}

// admitInvitation begins a set-up as forHandler says, and tells whether it has
// begun before.
func (s *Stub) admitInvitation(d *deployed, inv invitation, remote string) (again bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	created := inv.Object.CreatedAt()
	heir := s.replacedBy(inv, remote)
	room := s.room(heir)
	verdict, reason := admit(s.runtime.Text, remote, standingIn(room, remote), inv.Source, inv.Object.URL, created)
	switch verdict {
	case repeated:
		return true, nil
	case refused:
		return false, fault.New(fault.Conflict, "%s", reason)
	}
	p, err := s.newPeer(d, remote, inv.Source)
	if err != nil {
		return false, err
	}
	p.inv, p.heir = inv, heir
	p.muted = heir && s.peers[remote].url == d.url
	p.now = standing{role: handler, stub: d.url, source: inv.Source, object: inv.Object.URL, created: created, atStub: inv.Object.Connection().AtStub}
	p.info.Object = inv.Object.URL
	switch verdict {
	case replaces:
		p.first, p.why = room[remote], reason
	case overrides:
		p.then, p.why = room[remote], reason
	}
	s.add(p)
	return false, nil
}

// replacedBy tells whether an invitation is for a connection that is to be set up
// beside the one that there is. The mutex is held.
func (s *Stub) replacedBy(inv invitation, remote string) bool {
	object := inv.Object.Connection().Replaces
	p := s.replaceable(remote)
	return p != nil && object != "" && p.now.object == object
}
