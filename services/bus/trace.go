package bus

import (
	"context"
	"log/slog"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func (b *Bus) tracing() bool { return b.log.Enabled(context.Background(), slog.LevelDebug) }

func (b *Bus) trace(event string, m *pb.Message, more ...any) {
	if b.tracing() {
		b.log.Debug(event, append([]any{"type", m.Type, "from", m.From, "to", m.To}, more...)...)
	}
}

func (b *Bus) tracePosted(p *post) {
	if b.tracing() {
		b.trace("posted", p.m, "component", label(p.by.component()))
	}
}

func (b *Bus) traceDelivered(s *stream, deliveries []*pb.Delivery) {
	if !b.tracing() {
		return
	}
	for _, d := range deliveries {
		b.trace("delivered", d.Message, "listener", d.Listener, "component", label(s.comp))
	}
}

func (b *Bus) traceRoute(to string, r *pb.Route) {
	if b.tracing() && r.GetNext() != "" {
		reason := strings.ToLower(strings.TrimPrefix(r.GetReason().String(), "ROUTE_REASON_"))
		b.log.Debug("route learned", "to", to, "next", r.GetNext(), "reason", reason)
	}
}
