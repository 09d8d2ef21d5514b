package client

import (
	"context"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// PostOption changes how a message is posted.
type PostOption func(*pb.Post)

// From says which peer a message came from. Only stubs have that.
func From(ingress *pb.Ingress) PostOption { return func(p *pb.Post) { p.Ingress = ingress } }

// Delivered makes Post wait until the listener has dealt with the message,
// wherever it is. A peer that knows no flows does not say so: there it is what
// has left this runtime. ctx's deadline is the time-out (408), or the bus's own.
func Delivered() PostOption { return func(p *pb.Post) { p.Wait = pb.Wait_WAIT_DELIVERED } }

// Send queues a message for the bus. It waits while there is no room for it. If
// the message is refused, a response to its `from` says why. The message is read
// until it has arrived: what its fields lead to must not be changed.
func (b *Bus) Send(ctx context.Context, m *pb.Message, opts ...PostOption) error {
	e, err := b.newEntry(m, opts)
	if err != nil {
		return err
	}
	e.post.Wait = pb.Wait_WAIT_UNSPECIFIED
	return b.out.post(ctx, e)
}

// Post hands a message to the bus, and waits until a listener or a stub has it
// in its queue, or with Delivered, until it has arrived. A refusal is a fault
// (404, 403, 413, 429, …). When ctx ends after the message has left, the fault
// (408) says that its fate is not known: it may still arrive, once. The same holds
// of a stream that breaks (503) when posts are not numbered. As for Send, what the
// message leads to must not be changed afterwards.
func (b *Bus) Post(ctx context.Context, m *pb.Message, opts ...PostOption) error {
	e, err := b.newEntry(m, opts)
	if err != nil {
		return err
	}
	switch deadline, ok := ctx.Deadline(); {
	case e.post.Wait != pb.Wait_WAIT_DELIVERED:
		e.post.Wait = pb.Wait_WAIT_ACCEPTED
	case ok:
		e.deadline = deadline
	}
	outcome, err := b.call(ctx, e)
	if err != nil {
		return err
	}
	return refusal(outcome)
}

// Request posts a message and waits for its response, whatever that one's code
// is; message.Result reads it. ctx's deadline is the time-out; without one,
// Limits.RequestTimeout is. A request that cannot be delivered is a fault. As for
// Send, what the message leads to must not be changed afterwards.
func (b *Bus) Request(ctx context.Context, m *pb.Message, opts ...PostOption) (*pb.Message, error) {
	e, err := b.newEntry(m, opts)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(b.cfg.Limits.RequestTimeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	e.post.Wait, e.deadline = pb.Wait_WAIT_RESPONSE, deadline
	outcome, err := b.call(ctx, e)
	if err != nil {
		return nil, err
	}
	if err := refusal(outcome); err != nil {
		return nil, err
	}
	if outcome.Response == nil {
		return nil, fault.New(fault.Internal, "the bus answered a request without a response")
	}
	return outcome.Response, nil
}

// Start is Post or Request, by wait, in two parts: it returns once the message has its
// place among this attachment's posts, and outcome waits for what became of it, with
// the response if wait is for that. outcome is called once; timeout is how long the
// bus waits.
func (b *Bus) Start(ctx context.Context, m *pb.Message, wait pb.Wait, timeout time.Duration, opts ...PostOption) (outcome func(context.Context) (*pb.Message, error), err error) {
	e, err := b.newEntry(m, opts)
	if err != nil {
		return nil, err
	}
	e.post.Wait = wait
	if wait != pb.Wait_WAIT_ACCEPTED {
		e.deadline = time.Now().Add(timeout)
	}
	await, err := b.begin(ctx, e)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (*pb.Message, error) {
		o, err := await(ctx)
		if err == nil {
			err = refusal(o)
		}
		return o.GetResponse(), err
	}, nil
}

// newEntry checks a message, and makes a post of it. The post has a message of
// its own, so that the caller may use its own for the next one.
func (b *Bus) newEntry(m *pb.Message, opts []PostOption) (*entry, error) {
	if m == nil {
		return nil, fault.New(fault.BadRequest, "message is missing")
	}
	var made struct { // together, as every post has both
		post    pb.Post
		message pb.Message
	}
	if m.Id == "" || b.origin != nil {
		message.ShareInto(&made.message, m)
		m = &made.message
	}
	if m.Id == "" {
		m.Id = b.ids.next()
	}
	p := &made.post
	p.Message = m
	for _, o := range opts {
		o(p)
	}
	if err := message.CheckText(m); err != nil {
		return nil, err
	}
	e := newEntry(p)
	if e.size > message.MaxSize { // too large a message would end the stream
		if err := message.CheckSize(m); err != nil {
			return nil, err
		}
	}
	return e, nil
}
