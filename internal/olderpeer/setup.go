package olderpeer

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/pion/webrtc/v3"
)

// The two roles of a set-up (section 7). Each function is one part of it, in order
// and in a goroutine of its own; its error ends the connection.

// Connect sets up a connection as the requester and returns when a channel to the
// remote runtime is open, be it this one or, both having started, the other's.
func (p *Peer) Connect(ctx context.Context, remoteRuntime, remoteHandler string) error {
	stub := p.config.RuntimeURL
	if !p.config.RequesterBelowRuntime {
		stub = "runtime://" + domainOf(remoteRuntime)
	}
	c, err := p.newConnection(remoteRuntime, stub+"/p2prequester/"+rand.Text())
	if err != nil {
		return err
	}
	p.spawn(func(context.Context) { c.conclude(c.request(c.ctx, remoteHandler)) })
	if err := p.WaitLive(ctx, remoteRuntime); err != nil {
		c.fail(err)
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// request is the requester's part up to the offer; the rest is answered.
func (c *connection) request(ctx context.Context, handler string) error {
	c.listen(c.stub, c.inviteBack)
	if err := c.deployRequester(ctx); err != nil {
		return err
	}
	channel, err := c.pc.CreateDataChannel(channelLabel, nil)
	if err != nil {
		return fmt.Errorf("create the channel: %w", err)
	}
	c.attach(channel)
	return c.report(ctx, handler, func() (webrtc.SessionDescription, error) { return c.pc.CreateOffer(nil) })
}

// deployRequester subscribes the requester's address at the own node and, where its
// form puts it into another domain, at the node that messages for it go to.
func (c *connection) deployRequester(ctx context.Context) error {
	home := domainOf(c.peer.config.RuntimeURL)
	body := Body{"subscribe": []string{c.stub}, "source": c.stub}
	err := c.peer.subscribe(ctx, home, c.peer.registryURL(), body)
	if domain := domainOf(c.stub); err == nil && domain != home {
		err = c.peer.subscribe(ctx, domain, c.peer.registryURL(), body)
	}
	return err
}

// inviteBack takes the handler's invitation to the object with the answer.
func (c *connection) inviteBack(m Message) {
	if m.Type != "create" {
		return
	}
	c.peer.spawn(func(context.Context) { c.conclude(c.answered(c.ctx, m)) })
}

func (c *connection) answered(ctx context.Context, m Message) error {
	in, err := readInvitation(m)
	if err != nil {
		return c.peer.violate("%w", err)
	}
	if err := c.peer.Send(ctx, m.Response(200, nil)); err != nil || !c.peer.claim(in.object) {
		return err
	}
	select {
	case <-c.described:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.publish(StatusInProgress, "")
	o, s, err := c.observe(ctx, in.object)
	if err != nil {
		return err
	}
	if s.description != nil {
		if err := c.accept(*s.description); err != nil {
			return err
		}
	}
	o.start(s.version)
	return nil
}

// invited is the handler's listener: it takes invitations, and never refuses one
// for glare. A delete means nothing to it.
func (p *Peer) invited(m Message) {
	if m.Type != "create" {
		return
	}
	p.spawn(func(ctx context.Context) { p.handle(ctx, m) })
}

func (p *Peer) handle(ctx context.Context, m Message) {
	in, err := readInvitation(m)
	if err != nil {
		_ = p.violate("%w", err)
		return
	}
	if p.Send(ctx, m.Response(200, nil)) != nil || !p.claim(in.object) {
		return // the second of two equal invitations has its answer again
	}
	c, err := p.newConnection(in.runtime, p.handler)
	if err != nil {
		return
	}
	c.conclude(c.handle(c.ctx, in))
}

// handle is the handler's part: it observes the offer, answers at once and reports
// the answer.
func (c *connection) handle(ctx context.Context, in invitation) error {
	c.pc.OnDataChannel(c.attach)
	o, s, err := c.observe(ctx, in.object)
	if err != nil {
		return err
	}
	if s.description == nil {
		return c.peer.violate("there is no offer in the answer to the subscription of %s", in.object)
	}
	if err := c.accept(*s.description); err != nil {
		return err
	}
	answer, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return c.peer.violate("the offer cannot be answered: %w", err)
	}
	c.publish(StatusInProgress, "")
	o.start(s.version)
	return c.report(ctx, in.source, func() (webrtc.SessionDescription, error) { return answer, nil })
}

// report creates our object, invites to it, and only then sees to the description.
// Gathering begins last, so that every candidate trickles.
func (c *connection) report(ctx context.Context, to string, create func() (webrtc.SessionDescription, error)) error {
	r, err := newReporter(ctx, c)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.own = r.url + changesSuffix
	c.mu.Unlock()
	invitation := r.invitation(to)
	c.peer.spawn(func(context.Context) { c.conclude(c.invite(ctx, invitation)) })
	description, err := create()
	if err != nil {
		return fmt.Errorf("create the description: %w", err)
	}
	if err := r.describe(ctx, description); err != nil {
		return err
	}
	c.pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate != nil {
			_ = r.trickle(ctx, candidate)
		}
	})
	if err := c.pc.SetLocalDescription(description); err != nil {
		return fmt.Errorf("set the description: %w", err)
	}
	close(c.described)
	return nil
}

// invite ignores a 409: an older requester does not know of glare.
func (c *connection) invite(ctx context.Context, invitation Message) error {
	answer, err := c.peer.Request(ctx, invitation)
	if err != nil {
		return err
	}
	if code := answer.Code(); code >= 300 && code != 409 {
		return fmt.Errorf("the invitation to %s is refused: %d %s", invitation.To, code, answer.Reason())
	}
	return nil
}

// accept takes the remote description, once.
func (c *connection) accept(d webrtc.SessionDescription) error {
	if c.pc.RemoteDescription() != nil {
		return nil
	}
	if err := c.pc.SetRemoteDescription(d); err != nil {
		return c.peer.violate("the %s cannot be set: %w", d.Type, err)
	}
	return nil
}
