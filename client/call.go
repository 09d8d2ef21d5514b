package client

import (
	"context"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// call waits for an outcome, of a post or of a listener change.
type call struct {
	outcome chan *pb.Outcome // has room for one
	post    *posting         // nil for a listener change
	until   time.Time        // it ends by itself then; zero for one that does not
}

// streamBroke is the outcome of what was under way when the stream broke.
var streamBroke = &pb.Outcome{Code: int32(fault.Unavailable)}

var (
	// errStreamBroke says that a change may not have reached the bus.
	errStreamBroke = fault.New(fault.Unavailable, "the stream to the bus broke before it answered")
	errClosed      = fault.New(fault.Unavailable, "the attachment is closed")
)

func refusal(o *pb.Outcome) error {
	if o.Code < int32(fault.BadRequest) {
		return nil
	}
	return fault.New(fault.Code(o.Code), "%s", o.Description).In(o.Field)
}

// call posts, and waits for the outcome.
func (b *Bus) call(ctx context.Context, p *posting) (*pb.Outcome, error) {
	outcome, err := b.begin(ctx, p)
	if err != nil {
		return nil, err
	}
	return outcome(ctx)
}

// begin posts; what it gives waits for the outcome.
func (b *Bus) begin(ctx context.Context, p *posting) (outcome func(context.Context) (*pb.Outcome, error), err error) {
	sequence, c, err := b.newCall(p)
	if err != nil {
		return nil, err
	}
	p.sequence = sequence
	if err := b.out.post(ctx, p); err != nil {
		b.endCall(sequence)
		return nil, err
	}
	return func(ctx context.Context) (*pb.Outcome, error) {
		outcome, err := b.await(ctx, sequence, c)
		if err == nil && outcome == streamBroke {
			err = errStreamBroke
		}
		return outcome, err
	}, nil
}

func (b *Bus) newCall(p *posting) (uint64, *call, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, nil, errClosed
	}
	if len(b.calls) >= b.cfg.Limits.Calls {
		return 0, nil, fault.New(fault.TooMany, "%d calls wait for the bus already", len(b.calls))
	}
	sequence := b.sequence.Add(1)
	c := &call{outcome: make(chan *pb.Outcome, 1), post: p}
	b.calls[sequence] = c
	if p != nil && p.expires {
		c.until = p.deadline
		b.arm()
	}
	return sequence, c, nil
}

func (b *Bus) endCall(sequence uint64) *call {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.calls[sequence]
	delete(b.calls, sequence)
	return c
}

func (b *Bus) await(ctx context.Context, sequence uint64, c *call) (*pb.Outcome, error) {
	var o *pb.Outcome
	var why error
	select {
	case o = <-c.outcome:
	case <-ctx.Done():
		if why = ctx.Err(); b.endCall(sequence) == nil {
			o = <-c.outcome // it came at the same moment
		}
	}
	switch {
	case o == timedOut:
		why = context.DeadlineExceeded
	case o != nil:
		return o, nil
	}
	if c.post == nil {
		return nil, fault.From(why)
	}
	if b.out.drop(c.post) {
		return nil, fault.New(fault.Unavailable, "the bus cannot be reached: %w", why)
	}
	return nil, fault.New(fault.CodeOf(why), "the bus has not said what became of the message, which may still arrive: %w", why)
}

// finish hands an outcome to whoever waits for it.
func (b *Bus) finish(o *pb.Outcome) {
	c := b.endCall(o.GetSequence())
	if c == nil {
		return
	}
	if c.post != nil {
		b.out.heard(c.post, o)
	}
	c.outcome <- o
}
