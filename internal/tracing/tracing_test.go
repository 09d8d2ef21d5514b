package tracing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"go.opentelemetry.io/otel/codes"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	parent     = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	notSampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// testTracer keeps its spans here. done ends it, and gives them by their names.
func testTracer(t *testing.T, ratio float64) (tracer *Tracer, done func() map[string]tracetest.SpanStub) {
	t.Helper()
	kept := &keeping{}
	tracer = newTracer(Config{Ratio: ratio, Log: slog.New(slog.DiscardHandler)}, DefaultLimits(), kept)
	return tracer, func() map[string]tracetest.SpanStub {
		tracer.Close()
		by := map[string]tracetest.SpanStub{}
		for _, s := range kept.spans {
			by[s.Name] = s
		}
		return by
	}
}

// keeping keeps spans past its end, which tracetest's own exporter does not.
type keeping struct{ spans tracetest.SpanStubs }

func (k *keeping) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	k.spans = append(k.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	return nil
}

func (*keeping) Shutdown(context.Context) error { return nil }

func ask(trace *pb.Trace) *pb.Message {
	return &pb.Message{Id: "1", Type: "read", From: "hyperty://a.example/1", To: "hyperty://b.example/1", Trace: trace}
}

// Over its way each step is a child of the one before it, and no message is changed.
func TestEachStepIsAChildOfTheOneBefore(t *testing.T) {
	tracer, done := testTracer(t, 1)
	bus, stub, node := tracer.Point("bus", "A"), tracer.Point("nodestub", "A"), tracer.Point("msgnode", "example.org")
	first := ask(&pb.Trace{Record: true})
	posted, span := bus.Start(first, Begin)
	sent := stub.Mark(posted, Send, nil)
	relayed := node.Mark(sent, Relay, fault.New(fault.NotFound, "nobody has it"))
	span.End(nil)
	if first.Trace.Traceparent != "" || len(first.Trace.Hops) != 0 || len(posted.Trace.Hops) != 1 || len(sent.Trace.Hops) != 2 {
		t.Errorf("a message has changed: %v, %v, %v", first, posted, sent)
	}
	var hops []string
	for _, h := range relayed.Trace.Hops {
		if h.Time == 0 {
			t.Errorf("%v has no time", h)
		}
		hops = append(hops, h.Service+" "+h.At+" "+h.Event)
	}
	if got := strings.Join(hops, ", "); got != "bus A posted, nodestub A sent, msgnode example.org relayed" {
		t.Error(got)
	}
	spans := done()
	post, send, relay := spans["post"], spans["send"], spans["relay"]
	if post.Parent.IsValid() || send.Parent.SpanID() != post.SpanContext.SpanID() || relay.Parent.SpanID() != send.SpanContext.SpanID() {
		t.Errorf("%v", spans)
	}
	if id := post.SpanContext.TraceID(); id != relay.SpanContext.TraceID() || id.String() != message.TraceID(relayed) {
		t.Errorf("%v", spans)
	}
	if relay.Status.Code != codes.Error || relay.Status.Description != "nobody has it" || post.Status.Code != codes.Unset {
		t.Errorf("%v, %v", relay.Status, post.Status)
	}
	has := map[string]string{}
	for _, a := range append(send.Attributes, send.Resource.Attributes()...) {
		has[string(a.Key)] = a.Value.AsString()
	}
	for key, want := range map[string]string{
		"messaging.system": "peerbus", "messaging.operation.name": "send", "messaging.operation.type": "send",
		"messaging.destination.name": first.To, "messaging.message.id": "1", "peerbus.path": "relay",
		"service.name": "peerbus-nodestub", "service.instance.id": "A",
	} {
		if has[key] != want {
			t.Errorf("%s is %q, want %q", key, has[key], want)
		}
	}
}

func TestWhatBeginsATrace(t *testing.T) {
	response := ask(nil)
	response.Type = message.Response
	for name, tc := range map[string]struct {
		ratio  float64
		m      *pb.Message
		step   Step
		span   bool
		parent string // of the message that goes on; any if span
	}{
		"an application's request":         {1, ask(nil), Begin, true, ""},
		"one that is not sampled":          {0, ask(nil), Begin, false, ""},
		"an application's response":        {1, response, Begin, false, ""},
		"a service's message":              {1, ask(nil), Post, false, ""},
		"a recorded message":               {1, ask(&pb.Trace{Record: true}), Send, false, ""},
		"a trace that began elsewhere":     {0, ask(&pb.Trace{Traceparent: parent}), Send, true, ""},
		"one that nobody follows":          {1, ask(&pb.Trace{Traceparent: notSampled}), Begin, false, notSampled},
		"a response in a trace":            {0, &pb.Message{Type: message.Response, Trace: &pb.Trace{Traceparent: parent}}, Begin, true, ""},
		"what is as large as a message is": {1, &pb.Message{Body: make([]byte, message.MaxSize-4<<10)}, Begin, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, done := testTracer(t, tc.ratio)
			out, span := tracer.Point("bus", "A").Start(tc.m, tc.step)
			span.End(nil)
			spans := done()
			if span.On() != tc.span || len(spans) > 1 || (len(spans) == 1) != tc.span {
				t.Errorf("span %v, %v", span.On(), spans)
			}
			if got := out.GetTrace().GetTraceparent(); !tc.span && got != tc.parent {
				t.Errorf("goes on with %q", got)
			}
			if proto.Size(out) > message.MaxSize {
				t.Error("it has become too large")
			}
		})
	}
}

// Without a Tracer nothing is made, and what there is goes on.
func TestOff(t *testing.T) {
	tracer, err := New(Config{Ratio: 1})
	if tracer != nil || err != nil {
		t.Fatal(tracer, err)
	}
	tracer.Close()
	p := tracer.Point("bus", "A")
	if p.On() {
		t.Error("it is on")
	}
	m := ask(&pb.Trace{Traceparent: parent, Tracestate: "k=v"})
	if out, span := p.Start(m, Begin); out != m && !proto.Equal(out, m) || span.On() {
		t.Errorf("%v", out)
	}
	full := ask(&pb.Trace{Record: true})
	for range message.MaxHops + 3 {
		full = p.Mark(full, Post, nil)
	}
	if len(full.Trace.Hops) != message.MaxHops || message.Validate(full) != nil {
		t.Errorf("%d hops", len(full.Trace.Hops))
	}
}

// What a message without a trace costs is nothing, also where traces are on.
func TestNothingIsAllocated(t *testing.T) {
	tracer, done := testTracer(t, 1)
	defer done()
	m := ask(nil)
	for name, p := range map[string]*Point{"off": (*Tracer)(nil).Point("bus", "A"), "on": tracer.Point("bus", "A")} {
		step := Begin
		if p.On() {
			step = Post
		}
		if n := testing.AllocsPerRun(100, func() {
			out, span := p.Start(m, step)
			span.End(nil)
			p.Hop(p.Mark(out, Send, nil), message.HopRefused)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkOff(b *testing.B) {
	p, m := (*Tracer)(nil).Point("bus", "A"), ask(nil)
	b.ReportAllocs()
	for b.Loop() {
		_, span := p.Start(m, Begin)
		span.End(nil)
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"127.0.0.1:4317": "", "[::1]:4317": "", "localhost:4317": "", "http://localhost": "",
		"collector.example:4317": "", "https://collector.example": "", "https://collector.example:443/": "",
		"http://collector.example":    "--insecure",
		"collector.example":           "want HOST:PORT",
		"grpc://collector.example":    "want HOST:PORT",
		"https://collector.example/x": "without a path",
		"https://":                    "want HOST:PORT",
		":4317":                       "want HOST:PORT",
	} {
		_, err := connection(endpoint, rpc.Security{})
		if want == "" && err != nil || want != "" && (fault.CodeOf(err) != fault.BadRequest || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", endpoint, err, want)
		}
	}
	if _, err := connection("http://collector.example", rpc.Security{Insecure: true}); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{Ratio: 1.5}); fault.CodeOf(err) != fault.BadRequest {
		t.Error(err)
	}
	if _, err := New(Config{Endpoint: "x"}); fault.CodeOf(err) != fault.BadRequest {
		t.Error(err)
	}
}

// broken is a collector that takes nothing.
type broken struct{ keeping }

func (*broken) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("nobody there")
}

// An export that fails is told once in a while, with how many spans are lost.
func TestFailuresAreToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		e := &exporting{SpanExporter: &broken{}, log: slog.New(slog.NewTextHandler(&out, nil)), quiet: time.Minute}
		spans := make([]sdktrace.ReadOnlySpan, 2)
		for range 10 {
			if err := e.ExportSpans(t.Context(), spans); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second) // 1 m 40 s in all
		}
		if n := strings.Count(out.String(), "\n"); n != 2 || !strings.Contains(out.String(), "count=12") {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
	})
}
