package bus

import (
	"context"
	"log/slog"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/message"
)

// begin makes a post the next step of its message's trace, or the first one. It is
// called before anybody else has the post.
func (b *Bus) begin(p *post) {
	if p.m == nil {
		return
	}
	step := tracing.Post
	if p.ingress == nil && p.by.component() == pb.Component_COMPONENT_APPLICATION {
		step = tracing.Begin
		p.become(b.asked.answered(p.m))
	}
	var m *pb.Message
	m, p.span = b.point.Start(p.m, step)
	p.become(m)
}

func (b *Bus) tracing() bool { return b.log.Enabled(context.Background(), slog.LevelDebug) }

func (b *Bus) trace(event string, m *pb.Message, more ...any) {
	if !b.tracing() {
		return
	}
	attrs := append([]any{"type", m.Type, "from", m.From, "to", m.To}, more...)
	if id := message.TraceID(m); id != "" {
		attrs = append(attrs, "trace_id", id)
	}
	b.log.Debug(event, attrs...)
}

func (b *Bus) tracePosted(p *post) {
	if b.tracing() {
		b.trace("posted", p.m, "component", label(p.by.component()))
	}
}

func (b *Bus) traceRefused(p *post, err error) {
	if b.tracing() && p.m != nil {
		b.trace("refused", p.m, "component", label(p.by.component()), "reason", reasonOf(err), "error", err)
	}
}

func (b *Bus) traceDelivered(s *stream, deliveries []*pb.Delivery) {
	if !b.tracing() {
		return
	}
	for _, d := range deliveries {
		if d == nil { // it is of a batch, from before traces were made
			continue
		}
		b.trace("delivered", d.Message, "listener", d.Listener, "component", label(s.comp))
	}
}

func (b *Bus) traceRoute(to string, r *pb.Route) {
	if b.tracing() && r.GetNext() != "" {
		reason := strings.ToLower(strings.TrimPrefix(r.GetReason().String(), "ROUTE_REASON_"))
		b.log.Debug("route learned", "to", to, "next", r.GetNext(), "reason", reason)
	}
}
