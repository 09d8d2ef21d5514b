package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// Point is a service as a place that messages come by. Its methods may be called by
// several goroutines.
type Point struct {
	service string
	at      string       // URL of the runtime, or domain
	tracer  trace.Tracer // nil: there are no spans
}

// On tells whether spans are made.
func (p *Point) On() bool { return p.tracer != nil }

// Start begins a step: it gives the message that goes on, and the span, which the
// caller ends. The message that it is given stays as it is.
func (p *Point) Start(m *pb.Message, s Step) (*pb.Message, Span) {
	if m.GetTrace() == nil && (p.tracer == nil || !s.Begins) {
		return m, Span{}
	}
	return p.start(m, s)
}

// Mark is Start of a step that is over at once, with an error or nil.
func (p *Point) Mark(m *pb.Message, s Step, err error) *pb.Message {
	m, span := p.Start(m, s)
	span.End(err)
	return m
}

// Hop writes down an event that has no span of its own.
func (p *Point) Hop(m *pb.Message, event string) *pb.Message {
	if !m.GetTrace().GetRecord() {
		return m
	}
	return p.with(m, event, trace.SpanContext{})
}

func (p *Point) start(m *pb.Message, s Step) (*pb.Message, Span) {
	span := p.span(m, s)
	if span == nil {
		return p.Hop(m, s.Event), Span{}
	}
	return p.with(m, s.Event, span.SpanContext()), Span{span}
}

// span is nil when there is to be none.
func (p *Point) span(m *pb.Message, s Step) trace.Span {
	t := m.GetTrace()
	if p.tracer == nil || t.GetTraceparent() == "" && (!s.Begins || message.IsResponse(m)) {
		return nil // a response without a trace is to a request without one
	}
	ctx := w3c.Extract(context.Background(), &carrier{t.GetTraceparent(), t.GetTracestate()})
	_, span := p.tracer.Start(ctx, s.Name, trace.WithSpanKind(s.Kind), trace.WithAttributes(attributes(p.service, s, m)...))
	if !span.IsRecording() {
		return nil // it is not sampled, and what it is a part of stays as it is
	}
	return span
}

// with gives a message with another context, unless that is empty, and with another
// hop where they are recorded.
func (p *Point) with(m *pb.Message, event string, sc trace.SpanContext) *pb.Message {
	t := &pb.Trace{
		Traceparent: m.GetTrace().GetTraceparent(), Tracestate: m.GetTrace().GetTracestate(),
		Record: m.GetTrace().GetRecord(), Hops: m.GetTrace().GetHops(),
	}
	if sc.IsValid() {
		w3c.Inject(trace.ContextWithSpanContext(context.Background(), sc), (*carrierOf)(t))
	}
	if t.Record && len(t.Hops) < message.MaxHops {
		hop := &pb.Hop{Service: p.service, At: p.at, Event: event, Time: time.Now().UnixNano()}
		t.Hops = append(t.Hops[:len(t.Hops):len(t.Hops)], hop) // the list may be another message's too
	}
	return message.WithTrace(m, t)
}

// w3c reads and writes the context of a message.
var w3c propagation.TraceContext

// carrier is a context to read.
type carrier struct{ parent, state string }

// Get, Set and Keys make it a propagation.TextMapCarrier.
func (c *carrier) Get(key string) string {
	switch key {
	case "traceparent":
		return c.parent
	case "tracestate":
		return c.state
	}
	return ""
}

// Set does nothing.
func (c *carrier) Set(string, string) {}

// Keys are those of the recommendation.
func (c *carrier) Keys() []string { return []string{"traceparent", "tracestate"} }

// carrierOf writes into a message's trace.
type carrierOf pb.Trace

// Get, Set and Keys make it a propagation.TextMapCarrier.
func (c *carrierOf) Get(string) string { return "" }

// Set takes a field of the context.
func (c *carrierOf) Set(key, value string) {
	switch {
	case key == "traceparent":
		c.Traceparent = value
	case key == "tracestate" && len(value) <= message.MaxTracestate:
		c.Tracestate = value
	}
}

// Keys are none: there is nothing to read.
func (c *carrierOf) Keys() []string { return nil }
