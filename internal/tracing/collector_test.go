package tracing

import (
	"context"
	"log/slog"
	"net"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

// counting is a collector that counts spans.
type counting struct {
	collector.UnimplementedTraceServiceServer
	spans chan int
}

// Export is OTLP's.
func (c *counting) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	for _, r := range req.ResourceSpans {
		for _, s := range r.ScopeSpans {
			c.spans <- len(s.Spans)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// Closing a Tracer sends what there is, over what the process's security says.
func TestSpansReachACollector(t *testing.T) {
	authority := testcert.New(t, "ours")
	cert, key := authority.Issue(t, "both")
	mutual := rpc.Security{CertFile: cert, KeyFile: key, CAFile: authority.File}
	for name, tc := range map[string]struct {
		security rpc.Security
		scheme   string
	}{
		"plain":      {rpc.Security{}, ""},
		"mutual TLS": {mutual, "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := rpc.NewServer(tc.security, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			c := &counting{spans: make(chan int, 10)}
			collector.RegisterTraceServiceServer(srv, c)
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- rpc.Serve(ctx, srv, lis) }()

			tracer, err := New(Config{Endpoint: tc.scheme + lis.Addr().String(), Ratio: 1, Security: tc.security, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			tracer.Point("bus", "A").Mark(ask(nil), Begin, nil)
			tracer.Close()
			select {
			case n := <-c.spans:
				if n != 1 {
					t.Errorf("%d spans", n)
				}
			default:
				t.Error("no span has come by the end")
			}
			stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}
