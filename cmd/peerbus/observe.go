package main

import (
	"context"
	"net/http"
	"net/http/pprof"

	"github.com/spf13/pflag"

	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/services/gateway"
)

// observeSettings are for those who look into a service: probes, traces and profiles,
// all off by default.
type observeSettings struct {
	otlpEndpoint string
	traceRatio   float64
	pprofAddr    string
	probeAddr    string
}

func (s *observeSettings) flags(f *pflag.FlagSet) {
	f.StringVar(&s.otlpEndpoint, "otlp-endpoint", "", "`HOST:PORT` or URL of an OpenTelemetry collector (OTLP over gRPC) for traces; empty for none")
	f.Float64Var(&s.traceRatio, "trace-ratio", 1, "share of the messages whose trace begins here, `0..1`; a trace that is there is followed")
	f.StringVar(&s.probeAddr, "probe-addr", "", "`HOST:PORT` or unix:///PATH for /livez and /readyz alone, always without TLS; empty for none")
	f.StringVar(&s.pprofAddr, "pprof-addr", "", "`HOST:PORT` or unix:///PATH for Go profiles at /debug/pprof; empty for none")
}

// observe adds what the settings ask for. The last spans are sent when everything
// else has ended.
func (p *process) observe(s *observeSettings) error {
	tracer, err := tracing.New(tracing.Config{
		Endpoint: s.otlpEndpoint, Ratio: s.traceRatio, Security: p.security, Version: version, Log: p.log,
	})
	if err != nil {
		return err
	}
	p.tracer = tracer
	p.closers = append(p.closers, tracer.Close)
	if tracer != nil {
		p.log.Info("traces are sent", "endpoint", s.otlpEndpoint)
	}
	if err := p.serveProbes(s.probeAddr); err != nil {
		return err
	}
	return p.serveProfiles(s.pprofAddr)
}

// serveProfiles has a listener of its own: whoever may see metrics need not be able to
// take profiles.
func (p *process) serveProfiles(addr string) error {
	if addr == "" {
		return nil
	}
	srv, listeners, err := p.httpServer(addr, gateway.OwnHost(profiles()))
	if err != nil {
		return err
	}
	p.tree.Add("profiles", func(ctx context.Context) error {
		p.log.Info("serving profiles", "addr", addr)
		return serveOn(ctx, srv, listeners...)
	})
	return nil
}

// profiles is net/http/pprof without its place in http.DefaultServeMux.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
