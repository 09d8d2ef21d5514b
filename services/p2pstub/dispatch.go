package p2pstub

import (
	"context"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/message"
)

// message takes what is addressed to a stub itself.
func (s *Stub) message(ctx context.Context, d *deployed, m *pb.Message) {
	var err error
	switch m.Type {
	case message.Response: // mostly to something whose answer does not matter
		s.sendRefusal(d, m)
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

// sendRefusal takes what the bus says to a request that came over a data channel from an
// address that is not the peer's: it goes to the peer itself, whatever that address is.
func (s *Stub) sendRefusal(d *deployed, m *pb.Message) {
	if m.To == d.url || m.To == d.public {
		return
	}
	s.mu.Lock()
	p := s.peers[m.Source]
	s.mu.Unlock()
	if p == nil {
		return
	}
	if c := p.out.Load(); c != nil {
		m.Source = ""
		_, _ = c.add(codec.Bare(m)) // a full queue: its time runs out instead
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
	s.turns.drop(body.Resource, m.From)
	for p := range s.all {
		if p.now.object != body.Resource {
			continue
		}
		if !mayEnd(m.From, body.Resource, p.now.source, p.remote, p.now.atStub) {
			return fault.New(fault.Forbidden, "%s is not who tells of the end of %s", m.From, body.Resource).In("from")
		}
		go p.tell(event{kind: deleted, reason: closedByOther(m)}) // ends with the peer
	}
	return nil // what is not there is gone already
}

// mayEnd tells whether a sender may tell of the end of a runtime's object. Of a peer of ours
// that is the object itself.
func mayEnd(from, object, source, remote string, atStub bool) bool {
	if atStub {
		return from == object+address.SubscriptionSuffix
	}
	return speaksFor(from, object, source, remote)
}

// speaksFor tells whether a sender may speak for the object of an older peer: the object itself,
// which the Message Node leaves to its reporter, the stub that has invited with it, whose
// address may name no runtime, and what is in that runtime.
func speaksFor(from, object, source, remote string) bool {
	u, err := address.Parse(from)
	return err == nil && (address.Within(from, object) || from == source || u.Runtime == remote)
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

// forHandler begins a set-up, or has it wait for its turn, unless this invitation has begun
// one before or the runtime's own goes first.
func (s *Stub) forHandler(ctx context.Context, d *deployed, inv invitation, remote string) error {
	again, before, err := s.admitInvitation(&queued{d: d, inv: inv, remote: remote, until: time.Now().Add(s.limits.TurnWait)})
	if again {
		s.answer(ctx, inv.request)
	}
	if before != nil {
		s.refuse(ctx, before, fault.New(fault.Conflict, "a later invitation has come"))
	}
	return err
}

// admitInvitation does as forHandler says. It tells whether the set-up has begun before, and
// gives an invitation that waits no longer, as this one does in its place.
func (s *Stub) admitInvitation(q *queued) (again bool, before *pb.Message, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turns.taken < s.limits.Turns {
		again, err = s.begin(q)
		return again, nil, err
	}
	a, err := s.admission(q)
	switch {
	case a.verdict == repeated || err != nil:
		return a.verdict == repeated, nil, err
	case s.stopping:
		return false, nil, errStops
	}
	if a.place != asNewcomer {
		q.created = q.inv.Object.CreatedAt()
	}
	before, err = s.turns.wait(*q, s.limits.Invited-s.invited)
	if now := s.room(a.place)[q.remote]; err == nil && a.verdict == replaces && now.live() {
		go now.tell(event{kind: displaced, reason: a.reason}) // the other side has it no more; ends with the peer
	}
	return false, before, err
}

// admission is what becomes of an invitation, and for which place it is.
type admission struct {
	verdict
	reason string
	place  place
}

// admission decides on an invitation; err is why it is refused. The mutex is held.
func (s *Stub) admission(q *queued) (a admission, err error) {
	a = s.admitAt(s.placeFor(q), q)
	watched := s.peers[q.remote].watched()
	if a.place == inOffice && a.verdict == replaces && watched {
		a = s.admitAt(asNewcomer, q)
	}
	switch {
	case a.verdict == refused:
		err = fault.New(fault.Conflict, "%s", a.reason)
	case a.place != inOffice && watched && !address.Within(q.inv.Source, q.remote): // anyone could have the answer
		err = fault.New(fault.Forbidden, "there is a live connection with %s, and %s is not of it", q.remote, q.inv.Source).In("source")
	}
	return a, err
}

// admitAt decides on an invitation for a place. Of newcomers the last one has it: when the
// others were made they say themselves. The mutex is held.
func (s *Stub) admitAt(at place, q *queued) admission {
	o, created := q.inv.Object, q.inv.Object.CreatedAt()
	if at == asNewcomer {
		created = time.Time{}
	}
	v, reason := admit(s.runtime.Text, q.remote, standingIn(s.room(at), q.remote), q.inv.Source, o.URL, created)
	return admission{v, reason, at}
}

// placeFor is where an invitation has begun a peer already, or is to. The mutex is held.
func (s *Stub) placeFor(q *queued) place {
	for at := range place(places) {
		now := standingIn(s.room(at), q.remote)
		if now.role == handler && now.source == q.inv.Source && now.object == q.inv.Object.URL {
			return at
		}
	}
	if s.replacedBy(q.inv, q.remote) {
		return asHeir
	}
	return inOffice
}

// begin begins a set-up, in a turn, and tells whether it has begun before. The mutex is held.
func (s *Stub) begin(q *queued) (again bool, err error) {
	a, err := s.admission(q)
	if a.verdict == repeated || err != nil {
		return a.verdict == repeated, err
	}
	p, err := s.newPeer(q.d, q.remote, q.inv.Source)
	if err != nil {
		return false, err
	}
	p.inv, p.place = q.inv, a.place
	p.muted = a.place == asNewcomer || a.place == asHeir && s.peers[q.remote].url == q.d.url
	o := q.inv.Object
	p.now = standing{role: handler, stub: q.d.url, source: q.inv.Source, object: o.URL, created: o.CreatedAt(), atStub: o.Connection().AtStub}
	p.info.Object = o.URL
	now := s.room(a.place)[q.remote]
	switch a.verdict {
	case replaces:
		p.first, p.why = now, a.reason
	case overrides:
		p.then, p.why = now, a.reason
	}
	s.takeTurn(p)
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
