package client

import (
	"context"
	"slices"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// PostOption changes how a message is posted.
type PostOption struct {
	ingress   *pb.Ingress
	delivered bool
}

// From says which peer a message came from. It is for stubs.
func From(ingress *pb.Ingress) PostOption { return PostOption{ingress: ingress} }

// Delivered makes Post wait until the listener has dealt with the message, wherever it is.
// A peer that does not know flows cannot confirm that: then Post waits until the message
// has left this runtime. The time-out (408) is ctx's deadline, or without one the bus's
// own.
func Delivered() PostOption { return PostOption{delivered: true} }

// Send queues a message for the bus. It waits while there is no room for it. If the message
// is refused, a response to its `from` says why.
//
// When Send returns (and likewise Post, Request and Start) the message has been encoded,
// and the caller may change it. Only the memory of a string that was made with package
// unsafe must not change: the next message is compared with it.
func (b *Bus) Send(ctx context.Context, m *pb.Message, opts ...PostOption) error {
	var p posting // field by field: it is long, and to copy it is a tenth of all of this
	p.content.Message, p.content.Ingress, p.answers = m, ingressOf(opts), message.IsResponse(m)
	return b.out.post(ctx, &p)
}

// Carry is Send for a stub, of a message that came in from outside and has been validated
// by the stub. Where its encoded bytes are known they are passed on as they are. A row may
// be carried when TakesRow allows it; of that only the first message need have been
// validated, as the bus checks each.
func (b *Bus) Carry(ctx context.Context, m codec.Carried, via string, opts ...PostOption) error {
	p := posting{answers: message.IsResponse(m.Head())}
	if m.Encoded == nil || m.Head().Via != "" {
		one := m.Message()
		one.Via = via
		p.content.Message, p.content.Ingress = one, ingressOf(opts)
	} else {
		p.content = codec.NewCarried(m, via, ingressOf(opts))
	}
	return b.out.post(ctx, &p)
}

// TakesRow tells whether a message, which may be a row, may be given to Carry. If not, each
// of the row's messages (codec.Carried.Each) is to be posted by itself.
func (b *Bus) TakesRow(m codec.Carried, via string) bool {
	return m.Len() == 1 || b.rows.Load() && m.LeftOut(via) <= leftOutBytes/2 // what goes into one frame behind others
}

func newPosting(m *pb.Message, wait pb.Wait, opts []PostOption) posting {
	return posting{content: codec.Content{Message: m, Ingress: ingressOf(opts)}, answers: message.IsResponse(m), wait: wait}
}

func ingressOf(opts []PostOption) (ingress *pb.Ingress) {
	for _, o := range opts {
		if o.ingress != nil {
			ingress = o.ingress
		}
	}
	return ingress
}

// Post hands a message to the bus, and waits until it is in the queue of a listener or of a
// stub; with Delivered, until it has arrived. A refusal is an *Error (404, 403, 413, 429,
// …). When ctx ends after the message has left, the error (408) says that its fate is not
// known: it may still arrive, once. So does the error (503) when the stream breaks and
// posts are not numbered.
func (b *Bus) Post(ctx context.Context, m *pb.Message, opts ...PostOption) error {
	p := newPosting(m, pb.Wait_WAIT_ACCEPTED, opts)
	if slices.ContainsFunc(opts, func(o PostOption) bool { return o.delivered }) {
		p.wait = pb.Wait_WAIT_DELIVERED
		p.deadline, _ = ctx.Deadline()
	}
	outcome, err := b.call(ctx, &p)
	if err != nil {
		return err
	}
	return refusal(outcome)
}

// Request posts a message and waits for its response. It returns that whatever its code;
// message.Result reads the code. The time-out is ctx's deadline, or without one
// Limits.RequestTimeout. What this runtime refuses fails with an *Error; where another one
// does, or a Message Node, that is the response.
func (b *Bus) Request(ctx context.Context, m *pb.Message, opts ...PostOption) (*pb.Message, error) {
	p := newPosting(m, pb.Wait_WAIT_RESPONSE, opts)
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(b.cfg.Limits.RequestTimeout)
	}
	p.deadline, p.expires = deadline, !ok
	outcome, err := b.call(ctx, &p)
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

// Start is Post or Request, as wait says, in two steps: it returns once the message has its
// place among this attachment's posts, and outcome then waits for what became of it, and
// returns the response if wait asks for one. Call outcome once. timeout is how long the bus
// waits.
func (b *Bus) Start(ctx context.Context, m *pb.Message, wait pb.Wait, timeout time.Duration, opts ...PostOption) (outcome func(context.Context) (*pb.Message, error), err error) {
	p := newPosting(m, wait, opts)
	if wait != pb.Wait_WAIT_ACCEPTED {
		p.deadline = time.Now().Add(timeout)
	}
	await, err := b.begin(ctx, &p)
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
