package tracing

import (
	"strconv"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/peerbus/peerbus/internal/fault"
)

// Span is a step under way. The zero value is none: its methods do nothing.
type Span struct{ span trace.Span }

// On tells whether there is one: what is only for it need not be found out otherwise.
func (s Span) On() bool { return s.span != nil }

// Fail says that the step came to nothing; nil is no failure. The first error counts.
func (s Span) Fail(err error) {
	if s.span == nil || err == nil {
		return
	}
	f := fault.From(err)
	s.span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(int(f.Code))))
	s.span.SetStatus(codes.Error, f.Description)
}

// End ends it, with an error or nil. What comes after the first end does nothing.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	s.Fail(err)
	s.span.End()
}
