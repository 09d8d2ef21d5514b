package nodestub

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// deliver takes what the bus delivers for the stub. It returns when the message
// is queued or refused.
func (s *session) deliver(ctx context.Context, c codec.Carried) {
	if c.Head().Via == s.stubURL {
		s.metrics.count(directionOut, outcomeLooped, c.Head())
		return
	}
	if err := s.out.put(ctx, message.OutwardCarried(c)); err != nil {
		s.refuse(ctx, c.Message(), err)
	}
}

// refuse answers a message that does not go to the node; a response is dropped.
func (s *session) refuse(ctx context.Context, m *pb.Message, why error) {
	s.metrics.count(directionOut, outcomeRefused, m)
	if message.IsResponse(m) {
		return
	}
	answer := message.Refuse(s.point.Mark(m, tracing.Refuse, why), why)
	answer.Via = s.stubURL
	if err := s.bus.Send(ctx, answer, fromNode...); err != nil && ctx.Err() == nil {
		s.log.Warn("refusal cannot be posted", "domain", s.domain, "error", err)
	}
}

// fromNode are the options of what is posted for a node.
var fromNode = []client.PostOption{client.From(&pb.Ingress{})}

// incoming is for the messages of a frame from the node.
type incoming struct {
	validator message.Validator
	posted    tally
}

// receive takes what the node sends. It waits while the bus takes nothing, so
// that the node is held back. The link's reader calls it; in is that of the frame.
func (s *session) receive(ctx context.Context, c codec.Carried, in *incoming) error {
	if err := in.validator.Validate(c); err != nil {
		s.invalid(ctx, c.Message(), err)
		return nil
	}
	m, span := s.point.Start(c.Head(), tracing.Receive)
	if m != c.Head() {
		c = codec.Bare(m)
	}
	s.trace(ctx, "from node", m)
	in.posted.add(m, c.Size())
	err := s.bus.Carry(ctx, c, s.stubURL, fromNode...)
	span.End(err)
	switch {
	case fault.CodeOf(err) == fault.TooLarge: // with this stub's address
		s.invalid(ctx, c.Message(), err)
	case err != nil:
		s.metrics.count(directionIn, outcomeDropped, m)
		return errors.Join(errors.New("the bus takes nothing"), err)
	}
	return nil
}

// invalid refuses what the node sends and nobody can take.
func (s *session) invalid(ctx context.Context, m *pb.Message, why error) {
	s.metrics.count(directionIn, outcomeInvalid, m)
	s.log.DebugContext(ctx, "message from the node is not valid", "domain", s.domain, "error", why)
	s.refuseToNode(ctx, m, why)
}

// refuseToNode answers a request that cannot be posted, where it can be
// answered, without waiting.
func (s *session) refuseToNode(ctx context.Context, m *pb.Message, why error) {
	if m.GetId() == "" || m.GetFrom() == "" || m.GetTo() == "" || message.IsResponse(m) {
		return
	}
	answer := message.Refuse(m, why)
	answer.Flow = nil // that of another runtime, which this one's session cannot send
	if message.Validate(answer) != nil {
		return
	}
	now, cancel := context.WithCancel(ctx)
	cancel() // a full queue is not waited for
	if err := s.out.put(now, codec.Bare(answer)); err != nil {
		s.metrics.count(directionOut, outcomeRefused, answer)
	}
}

// spans are those of a batch on its way; nil when none of it is traced.
type spans []tracing.Span

func (s spans) end(from, to int, err error) {
	for i := from; i < to && i < len(s); i++ {
		s[i].End(err)
	}
}

// sending gives a batch as it leaves. What could not be sent and is sent later is
// another step of its trace, so the queue keeps what it has.
func (s *session) sending(batch []queued) (out codec.Messages, all spans) {
	out = make(codec.Messages, len(batch))
	if slices.ContainsFunc(batch, func(q queued) bool { return q.Head().Trace != nil }) {
		all = make(spans, len(batch))
	}
	for i, q := range batch {
		if out[i] = q.Carried; all != nil {
			var m *pb.Message
			if m, all[i] = s.point.Start(q.Head(), tracing.Send); m != q.Head() {
				out[i] = codec.Bare(m)
			}
		}
	}
	return out, all
}

// trace is one of the steps that a run can be followed by.
func (s *session) trace(ctx context.Context, step string, m *pb.Message) {
	if !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	log := s.log
	if id := message.TraceID(m); id != "" {
		log = log.With("trace_id", id)
	}
	log.DebugContext(ctx, step, "type", m.Type, "from", m.From, "to", m.To, "domain", s.domain)
}
