package tracing

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// Config of a Tracer.
type Config struct {
	// Endpoint of the collector, `HOST:PORT` or a URL. Empty: there are no spans.
	Endpoint string
	// Ratio of the traces that begin in this process, from 0 to 1. One that began
	// elsewhere is followed if it is there.
	Ratio float64
	// Security of the connection, where the endpoint is not on this machine.
	Security rpc.Security
	// Version of the program.
	Version string
	// Limits that are zero take their defaults.
	Limits Limits
	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Tracer sends the spans of a process's services to a collector. Nil is one that has
// none.
type Tracer struct {
	limits    Limits
	version   string
	sampler   sdktrace.Sampler
	processor sdktrace.SpanProcessor
}

// New makes a Tracer; nil without an endpoint. It connects when there are spans.
func New(cfg Config) (*Tracer, error) {
	if !(cfg.Ratio >= 0 && cfg.Ratio <= 1) { // nor NaN
		return nil, fault.New(fault.BadRequest, "trace-ratio %v: want 0 to 1", cfg.Ratio).In("trace-ratio")
	}
	if cfg.Endpoint == "" {
		return nil, nil
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	limits := cfg.Limits.orDefaults()
	options, err := connection(cfg.Endpoint, cfg.Security)
	if err != nil {
		return nil, err
	}
	options = append(options,
		otlptracegrpc.WithTimeout(limits.Export),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: limits.Every, MaxInterval: limits.Export, MaxElapsedTime: limits.Retry,
		}))
	exporter, err := otlptracegrpc.New(context.Background(), options...)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "otlp-endpoint: %w", err).In("otlp-endpoint")
	}
	return newTracer(cfg, limits, exporter), nil
}

func newTracer(cfg Config, l Limits, exporter sdktrace.SpanExporter) *Tracer {
	return &Tracer{
		limits: l, version: cfg.Version,
		sampler: sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Ratio)),
		processor: sdktrace.NewBatchSpanProcessor(&exporting{SpanExporter: exporter, log: cfg.Log, quiet: l.Quiet, endpoint: cfg.Endpoint},
			sdktrace.WithMaxQueueSize(l.Queue), sdktrace.WithMaxExportBatchSize(l.Batch),
			sdktrace.WithBatchTimeout(l.Every), sdktrace.WithExportTimeout(l.Retry)),
	}
}

// Point makes a place of a service: at is the URL of its runtime, or its domain. The
// services of one process differ as those of several do.
func (t *Tracer) Point(service, at string) *Point {
	p := &Point{service: service, at: at}
	if t == nil {
		return p
	}
	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = t.limits.Value
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(t.sampler), sdktrace.WithSpanProcessor(t.processor), sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithResource(resource.NewWithAttributes(semconv.SchemaURL,
			semconv.ServiceName("peerbus-"+service), semconv.ServiceNamespace("peerbus"),
			semconv.ServiceInstanceID(at), semconv.ServiceVersion(t.version), keyRuntime.String(at))))
	p.tracer = provider.Tracer("github.com/peerbus/peerbus")
	return p
}

// Close sends the last spans, within Limits.Stop, and ends the connection.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.limits.Stop)
	defer cancel()
	_ = t.processor.Shutdown(ctx) // what is not sent by then is lost, and the log has said why
}
