package tracing

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporting tells the log of spans that could not be sent, at most once in a while.
type exporting struct {
	sdktrace.SpanExporter
	log      *slog.Logger
	endpoint string
	quiet    time.Duration

	mu   sync.Mutex
	told time.Time
	lost int // since then
}

// ExportSpans sends a batch. What fails is told here, and to nobody else.
func (e *exporting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.failed(len(spans), err)
	}
	return nil
}

func (e *exporting) failed(spans int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lost += spans
	if now := time.Now(); now.Sub(e.told) >= e.quiet {
		e.log.Warn("spans are lost: the collector does not take them", "endpoint", e.endpoint, "count", e.lost, "error", err)
		e.told, e.lost = now, 0
	}
}
