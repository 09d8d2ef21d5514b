package p2pstub

import (
	"context"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/message"
)

// observe follows the other side's object, beside the set-up.
func (p *peer) observe() {
	p.observer = datasync.NewObserver(p.inv.Invitation)
	object := p.observer.URL()
	p.log.Debug("connection object", "role", "observer", "object", object)
	p.meet()
	if p.followers.stub != "" && p.public == p.url {
		return // what changes comes to the stub
	}
	p.reading, p.follows = true, true
	subscribe := p.observer.Subscribe(address.SyncManager(p.stub.runtime.Text), p.public, []string{framing.PeerBus})
	p.background(func(ctx context.Context) {
		if err := p.listen(ctx, object+address.ChangesSuffix, p.changed); err != nil {
			p.log.Debug("updates of the other side cannot be listened to", "error", err)
			return
		}
		u, _ := address.Parse(object) // any text that is no address has no domain
		_, err := request(ctx, p.stub.bus, p.stub.limits.Request, p.subscription(u.Domain, object+address.ChangesSuffix, object+address.ChildrenSuffix))
		if err != nil {
			p.log.Debug("updates of the other side cannot be subscribed", "error", err)
		}
		p.whole(ctx, subscribe)
	})
}

// whole asks for the other side's whole object.
func (p *peer) whole(ctx context.Context, m *pb.Message) {
	resp, err := p.insist(ctx, m)
	p.post(func() {
		p.reading = false
		if err != nil {
			p.log.Debug("the other side's object cannot be had", "type", m.Type, "error", err)
			return
		}
		gap, err := p.observer.Reset(resp)
		p.followed(gap, err)
	})
}

// followed goes on with what the other side's object says now.
func (p *peer) followed(gap bool, err error) {
	if err != nil {
		p.log.Debug("bad update of the other side's object", "error", err)
	}
	if gap && !p.reading {
		p.reading = true
		read := p.observer.Read(address.SyncManager(p.stub.runtime.Text))
		p.background(func(ctx context.Context) { p.whole(ctx, read) })
	}
	p.meet()
	theirs := p.theirs()
	e := event{kind: observed, description: theirs.Description != nil, wanted: theirs.Restart, hasty: p.hasty()}
	if e.description {
		e.generation = theirs.Description.Generation
	}
	p.step(e)
}

// changed takes what comes to the other side's `<obj>/changes`, to which anyone can send.
func (p *peer) changed(ctx context.Context, m *pb.Message) {
	p.stub.mu.Lock()
	now := p.now
	p.stub.mu.Unlock()
	if !speaksFor(m.From, now.object, now.source, p.remote) {
		p.stub.refuse(ctx, m, fault.New(fault.Forbidden, "%s is not of %s", m.From, p.remote).In("from"))
		return
	}
	switch m.Type {
	case message.Update:
		p.post(func() {
			outcome, err := p.observer.Update(m)
			if outcome == datasync.Repeated && err == nil {
				p.sayAgain()
			}
			p.followed(outcome == datasync.Gap || fault.CodeOf(err) == fault.TooLarge, err)
		})
	case message.Delete:
		p.tell(event{kind: deleted, reason: closedByOther(m)})
	}
}

func closedByOther(m *pb.Message) string {
	reason := "closed by the other side"
	if why := datasync.DeleteReason(m); why != "" {
		reason += ": " + why
	}
	return reason
}

// takeCandidates hands on those that are new.
func (p *peer) takeCandidates() {
	for _, c := range p.theirs().Candidates {
		if c.Generation != p.m.ice.generation || p.tried[c.Candidate] || len(p.tried) >= p.stub.limits.Candidates {
			continue
		}
		if p.tried == nil {
			p.tried = map[string]bool{}
		}
		p.tried[c.Candidate] = true
		if err := p.rtc.AddCandidate(c); err != nil {
			p.log.Debug("candidate is of no use", "error", err)
		}
	}
}
