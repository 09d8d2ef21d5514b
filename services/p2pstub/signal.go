package p2pstub

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// The signalling of a peer: what its machine wants done. All of it runs in the
// peer's loop; what waits for the bus runs beside it and posts its result.

func (p *peer) effect(e effect) {
	switch e.kind {
	case publish:
		p.publish(e.state, e.reason)
	case accept:
		p.send(message.Answer(p.inv.request, fault.OK, nil))
	case observe:
		p.observe()
	case allocate:
		p.background(p.allocate)
	case offer, answer:
		p.describe(e.kind)
	case applyAnswer:
		p.agreePath()
		p.log.Debug("description applied", "object", p.observer.URL(), "type", "answer") // the other side's channel may open at once
		p.must("the answer", p.rtc.SetAnswer(*p.theirs().Description))
	case invite:
		p.invite()
	case update:
		p.sendUpdate(p.reporter.Set(datasync.DescriptionAttribute, p.rtc.Description(), p.stub.now()))
	case candidates:
		p.takeCandidates()
	case restart, revive:
		p.regenerate(e.kind)
	case ask:
		p.askForRestart()
	case finish: // the loop sees it in the machine
	}
}

// must ends the connection if something has failed.
func (p *peer) must(what string, err error) {
	if err != nil {
		p.step(event{kind: broke, reason: what + ": " + fault.From(err).Description})
	}
}

// background does what waits for others.
func (p *peer) background(f func(ctx context.Context)) {
	p.work.Go(func() { f(p.ctx) })
}

// send posts a message whose answer, if any, is not waited for.
func (p *peer) send(m *pb.Message) {
	ctx, cancel := context.WithTimeout(p.stub.last, p.stub.limits.Request)
	defer cancel()
	if err := p.stub.bus.Send(ctx, m); err != nil {
		p.log.Warn("message of the set-up could not be sent", "type", m.Type, "to", m.To, "error", err)
	}
}

// publish tells the registry and the watchers (wire contract, section 8). For the
// first state it waits until the registry has noted the connection, so that what
// leaves after it starts no second one.
func (p *peer) publish(state status.State, reason string) {
	p.reason = reason
	again := !p.liveSince.IsZero()
	if state == status.Failed { // counted first: who is told of it may look
		p.stub.metrics.failedIn.WithLabelValues(p.role.String(), p.laps.now().String()).Inc()
	}
	by, say := p.stub.moved(p, state, reason)
	if by.ends {
		by.old.tell(event{kind: displaced, reason: connectsAnew})
		<-by.old.done // it says so first
	}
	for _, one := range say {
		p.log.Debug("status published", "state", one.String())
		p.stub.shown(p, one) // the registry may act on that at once: the line of the log comes first
		p.announce(one, reason)
	}
	if len(say) == 0 {
		p.stub.shown(p, state) // it stands for another one, which has said that
	}
	if by.old != nil && !by.ends {
		by.old.tell(event{kind: succeeded})
	}
	switch state {
	case status.Created:
		if p.then != nil {
			p.then.tell(event{kind: displaced, reason: p.why})
			p.then = nil
		}
	case status.Live:
		if again {
			p.log.Info("P2P connection is back")
		} else {
			p.log.Info("P2P connection is live", "took_seconds", time.Since(p.began).Round(time.Millisecond).Seconds())
		}
	case status.Disconnected, status.Failed:
		p.log.Info("P2P connection is "+state.String(), "reason", reason)
	}
}

// announce posts a state.
func (p *peer) announce(state status.State, reason string) {
	m := status.NewMessage(p.url, newID(), status.Body{State: state, Remote: p.remote, Reason: reason})
	if state != status.Created {
		p.send(m)
	} else if _, err := request(p.stub.last, p.stub.bus, p.stub.limits.Registry, m); err != nil {
		p.log.Debug("the registry has not noted the connection", "error", err)
	}
}

// allocate gets an address for the own object, and listens to it.
func (p *peer) allocate(ctx context.Context) {
	object, err := p.stub.addresses.take(ctx)
	if err == nil {
		p.ownObject.Store(&object)
		var both errgroup.Group // the set-up waits for the bus once
		both.Go(func() error { return p.listen(ctx, object.url, p.objectMessage) })
		both.Go(func() error { return p.listen(ctx, object.url+address.SubscriptionSuffix, p.objectMessage) })
		err = both.Wait()
	}
	p.post(func() {
		if err != nil {
			p.must("address of the Connection object", err)
			return
		}
		p.object = object
		p.step(event{kind: allocated})
	})
}

// listen adds a listener that goes with the peer.
func (p *peer) listen(ctx context.Context, addr string, h client.Handler) error {
	l, err := p.stub.bus.Listen(ctx, addr, h)
	if err != nil {
		return err
	}
	p.stub.mu.Lock()
	defer p.stub.mu.Unlock()
	p.listeners = append(p.listeners, l)
	return nil
}

// describe makes the own description: an offer, or the answer to theirs.
func (p *peer) describe(kind effectKind) {
	ctx, cancel := context.WithTimeout(p.ctx, p.stub.limits.Request)
	defer cancel()
	var err error
	if kind == offer {
		_, err = p.rtc.Offer(ctx)
	} else {
		p.agreePath()
		_, err = p.rtc.Answer(ctx, *p.theirs().Description)
		p.log.Debug("description applied", "object", p.observer.URL(), "type", "offer")
	}
	if err != nil {
		p.must("description", err)
		return
	}
	p.step(event{kind: described})
}

// agreePath has ICE use a path early, where the other side does so too.
func (p *peer) agreePath() {
	if p.theirs().Early {
		p.rtc.UseEarly()
	}
}

// invite makes the own object and asks the other side to observe it. The
// description has all candidates that are known by now.
func (p *peer) invite() {
	description := p.rtc.Description()
	reporter, err := datasync.NewReporter(datasync.Object{
		URL: p.object.url, Name: datasync.ConnectionName, Schema: datasync.ConnectionSchema(p.stub.runtime.Domain),
		Reporter: p.public, Runtime: p.stub.runtime.Text,
	}, p.data(description), p.stub.now())
	if err != nil {
		p.must("Connection object", err)
		return
	}
	p.reporter = reporter
	p.log.Debug("connection object", "role", "reporter", "object", p.object.url)
	if !p.object.whole { // the stub, too: a node of ours has it from the registry by then
		p.send(p.subscription(p.stub.runtime.Domain, p.object.url, p.object.url+address.SubscriptionSuffix, p.public))
	}
	m := reporter.Invite(p.invitee)
	p.log.Debug("invitation sent", "object", p.object.url, "to", p.invitee, "fast", true)
	p.background(func(ctx context.Context) {
		if p.role == handler {
			_, err = p.insist(ctx, m)
		} else {
			_, err = request(ctx, p.stub.bus, p.stub.limits.SetUp, m)
		}
		p.post(func() {
			p.step(answeredBy(err))
			p.meet()
		})
	})
}

// data is that of the own object, as it begins: what this side knows is announced
// in it.
func (p *peer) data(d datasync.Description) datasync.Connection {
	return datasync.Connection{
		Runtime: p.stub.runtime.Text, Owner: p.public, Description: &d, Candidates: []datasync.Candidate{},
		Framing: []string{framing.PeerBus}, Sequels: true, Rows: true, Packet: framing.LongPacket, Flow: []string{message.FlowV1},
		Heartbeat: true, Early: true,
		AtStub: p.public == p.url, Replaces: p.replaces, // else it is not this replica that its messages come to
	}
}

func answeredBy(err error) event {
	if err == nil {
		return event{kind: answered, code: fault.OK}
	}
	f := fault.From(err)
	return event{kind: answered, code: f.Code, reason: f.Error()}
}

// subscription asks a domain's Message Node for what comes to some addresses
// (wire contract, section 5). The response comes to the stub, which has no use
// for it.
func (p *peer) subscription(domain string, addresses ...string) *pb.Message {
	return &pb.Message{
		Id: newID(), Type: message.Subscribe, From: p.public, To: address.SubscriptionManager(domain), Source: p.public,
		Body: message.MarshalBody(map[string]any{"resources": addresses, "source": p.public}),
	}
}

// insist repeats a request while the other side's address cannot be reached: its
// Message Node may not know it yet.
func (p *peer) insist(ctx context.Context, m *pb.Message) (*pb.Message, error) {
	var wait retry.Backoff
	for {
		resp, err := request(ctx, p.stub.bus, p.stub.limits.Request, m)
		switch fault.CodeOf(err) {
		case fault.NotFound, fault.Timeout, fault.Unavailable, fault.TooMany:
		default:
			return resp, err
		}
		p.log.Debug("the other side cannot be reached yet", "type", m.Type, "to", m.To, "error", err)
		if wait.Wait(ctx) != nil {
			return nil, err
		}
	}
}

// report tells the observers of a candidate that was found late. Before the
// invitation there are none: the description has it then.
func (p *peer) report(c datasync.Candidate) {
	if p.reporter != nil {
		c.Generation = p.m.ice.generation
		p.sendUpdate(p.reporter.Append(datasync.CandidatesAttribute, c, p.stub.now()))
	}
}

func (p *peer) sendUpdate(m *pb.Message, err error) {
	if err != nil {
		p.must("Connection object", err)
		return
	}
	p.meet()
	if m = p.followers.take(m); m != nil {
		p.send(m)
	}
}

// objectMessage takes what comes to the own object.
func (p *peer) objectMessage(_ context.Context, m *pb.Message) {
	p.post(func() {
		switch m.Type {
		case message.Response:
		case message.Subscribe:
			p.subscribed(m)
		case message.Read:
			p.answerWith(m, nil)
		case message.Unsubscribe:
			p.send(message.Answer(m, fault.OK, nil))
		default:
			p.send(message.Refuse(m, fault.New(fault.BadRequest, "a Connection object takes no %s", m.Type)))
		}
	})
}

// subscribed answers with the whole object. An older peer gets all candidates in
// the description and none in the list (wire contract, section 7).
func (p *peer) subscribed(m *pb.Message) {
	s, err := datasync.ParseSubscription(m)
	if err != nil {
		p.send(message.Refuse(m, err))
		return
	}
	if p.reporter == nil {
		p.answerWith(m, nil)
		return
	}
	own := datasync.Connection{Framing: s.Framing}
	if own.Announces(framing.PeerBus) || p.theirs().Announces(framing.PeerBus) {
		p.answerWith(m, nil)
		p.followers.subscribed()
		p.step(event{kind: subscribed})
		return
	}
	p.answerWith(m, p.data(p.rtc.Description()))
	p.followers.subscribed()
	p.step(event{kind: subscribed, older: true})
}

func (p *peer) answerWith(m *pb.Message, data any) {
	if p.reporter == nil {
		p.send(message.Refuse(m, fault.New(fault.NotFound, "%s has no data yet", m.To)))
		return
	}
	resp, err := p.reporter.Answer(m, data)
	if err != nil {
		resp = message.Refuse(m, err)
	}
	p.send(resp)
}

// leave takes the peer's addresses from the bus and from the Message Nodes.
func (p *peer) leave(ctx context.Context) {
	if p.follows {
		p.stub.addresses.unfollow(p.observer.URL())
	}
	if object := p.ownObject.Load(); object != nil {
		p.stub.addresses.release(*object)
	}
	p.stub.mu.Lock()
	listeners := p.listeners
	p.listeners = nil
	p.stub.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close(ctx) // without the bus there is no listener either
	}
}

// sayGoodbye tells the other side that the own object is gone: those who follow it, or,
// where it is not known who does, who was invited as well.
func (p *peer) sayGoodbye() {
	if p.reporter == nil {
		return
	}
	m := p.reporter.Delete(p.reason)
	m.Id = newID()
	if !p.followers.known && !p.m.refused {
		early := message.Share(m)
		early.To = p.invitee
		p.send(early)
	}
	m.To = cmp.Or(p.followers.stub, m.To)
	p.send(m)
}

func newID() string { return message.StringID(uuid.NewString()) }
