package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/services/gateway"
)

// process is a mode while it is put together and while it runs.
//
//	tree, first to last         stopped last to first
//	─────────────────────────────────────────────────
//	probes, profiles
//	store (NATS)
//	memory server               the services of an all-in-one meet there
//	the services
//	HTTP server
//	gRPC server                 nobody new comes in before the rest ends
type process struct {
	base     *slog.Logger // of which each service has its own
	log      *slog.Logger // of what is no service's
	security rpc.Security
	metrics  *metrics
	tracer   *tracing.Tracer // nil: there are no spans
	tree     run.Tree
	replicas int // of a bucket of NATS; 0: what the NATS there is has by default
	services []func(grpc.ServiceRegistrar)
	server   *rpc.Server // of serveGRPC
	closers  []func()    // connections, ended after the tree
	exposed  []string    // addresses that others can reach without TLS
	health   health
}

func newProcess(log *slog.Logger, mode string, security rpc.Security) *process {
	p := &process{base: log, security: security, metrics: newMetrics()}
	p.log = p.named(mode)
	p.metrics.MustRegister(buildInfo(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return p
}

// buildInfo says which version runs; its value is 1.
func buildInfo() prometheus.Collector {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "peerbus_build_info", Help: "1, for the version that runs.",
	}, []string{"version", "go_version"})
	g.WithLabelValues(version, runtime.Version()).Set(1)
	return g
}

// add puts a service behind those that it uses: how it is served, and its life.
func (p *process) add(name string, register func(grpc.ServiceRegistrar), life run.Func) {
	p.services = append(p.services, register)
	p.tree.Add(name, life)
}

// named gives the log of one service.
func (p *process) named(service string) *slog.Logger { return p.base.With("service", service) }

// dial makes a connection that lives as long as the process.
func (p *process) dial(addr string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := rpc.Dial(addr, p.security, opts...)
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, func() { _ = conn.Close() })
	return conn, nil
}

// memory adds a server in memory, in which the services of an all-in-one meet,
// and gives a connection to it. Services that are added later are served too.
func (p *process) memory() (*grpc.ClientConn, error) {
	lis := rpc.NewMemory()
	conn, err := lis.Dial()
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, func() { _ = conn.Close() })
	p.tree.Add("memory server", func(ctx context.Context) error {
		srv, err := p.newServer(rpc.Security{})
		if err != nil {
			return err
		}
		return rpc.Serve(ctx, srv, lis)
	})
	return conn, nil
}

// serveGRPC adds the gRPC server behind what has been added so far. Each address may be
// several with commas between them. The listeners are opened at once, so that one in use
// is told at start.
func (p *process) serveGRPC(addrs ...string) error {
	srv, err := p.newServer(p.security)
	if err != nil {
		return err
	}
	p.server = srv
	listeners, err := p.listen(strings.Join(addrs, ","))
	if err != nil {
		return err
	}
	beside, err := rpc.Abstract(listeners, p.security)
	if err != nil {
		p.log.Warn("no abstract unix socket beside a port: all dial the port", "error", err)
	}
	for _, lis := range beside {
		p.closers = append(p.closers, func() { _ = lis.Close() })
	}
	p.tree.Add("gRPC server", func(ctx context.Context) error {
		p.log.Info("serving gRPC", "addr", strings.Join(addrs, ","), "abstract", len(beside))
		p.health.serving.Store(true)
		defer p.health.serving.Store(false)
		return rpc.Serve(ctx, srv, rpc.Telling(append(listeners, beside...), p.log)...)
	})
	return nil
}

// listen opens listeners at a list of addresses, which are closed with the process, and
// notes which of them others can reach without TLS.
func (p *process) listen(list string) (all []net.Listener, err error) {
	for addr := range strings.SplitSeq(list, ",") {
		addr = strings.TrimSpace(addr)
		lis, err := rpc.Listen(addr, p.security)
		if err != nil {
			return nil, err
		}
		p.closers = append(p.closers, func() { _ = lis.Close() })
		if rpc.Exposed(lis, p.security) {
			p.exposed = append(p.exposed, addr)
		}
		all = append(all, lis)
	}
	return all, nil
}

func (p *process) newServer(s rpc.Security) (*rpc.Server, error) {
	srv, err := rpc.NewServer(s, p.log)
	if err != nil {
		return nil, err
	}
	for _, register := range p.services {
		register(srv)
	}
	return srv, nil
}

// Bounds of the HTTP server. There is no write timeout: a WebSocket lives long.
const (
	httpHeaderTimeout = 5 * time.Second
	httpIdleTimeout   = 2 * time.Minute
	httpHeaderBytes   = 16 << 10
	httpStopTimeout   = 300 * time.Millisecond
)

// serveHTTP adds the HTTP server: health, metrics, and what handler has besides.
func (p *process) serveHTTP(addr string, handler http.Handler) error {
	if addr == "" {
		return nil
	}
	if handler == nil {
		handler = gateway.OwnHost(p.monitoring())
	}
	srv, listeners, err := p.httpServer(addr, handler)
	if err != nil {
		return err
	}
	p.tree.Add("HTTP server", func(ctx context.Context) error {
		p.log.Info("serving HTTP", "addr", addr)
		return serveOn(ctx, srv, listeners...)
	})
	return nil
}

// httpServer makes a server with the process's security and bounds, and its listeners.
func (p *process) httpServer(addr string, handler http.Handler) (*http.Server, []net.Listener, error) {
	listeners, err := p.listen(addr)
	if err != nil {
		return nil, nil, err
	}
	srv, err := p.httpServerFor(p.security, handler)
	return srv, rpc.Telling(listeners, p.log), err
}

// httpServerFor makes one with another security, without a listener.
func (p *process) httpServerFor(s rpc.Security, handler http.Handler) (*http.Server, error) {
	tlsConfig, err := s.ServerTLS()
	if err != nil {
		return nil, err
	}
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: httpHeaderTimeout, IdleTimeout: httpIdleTimeout,
		MaxHeaderBytes: httpHeaderBytes, TLSConfig: tlsConfig, ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}, nil
}

// serveOn serves on all listeners until ctx is done.
func serveOn(ctx context.Context, srv *http.Server, listeners ...net.Listener) error {
	parts := []run.Func{stopWith(srv)}
	for _, lis := range listeners {
		parts = append(parts, func(context.Context) error { return serveHTTPOn(srv, lis) })
	}
	return run.All(ctx, parts...)
}

// serveHTTPOn serves on one; a unix socket has no TLS.
func serveHTTPOn(srv *http.Server, lis net.Listener) error {
	var err error
	if srv.TLSConfig != nil && lis.Addr().Network() != "unix" {
		err = srv.ServeTLS(lis, "", "")
	} else {
		err = srv.Serve(lis)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fault.New(fault.Unavailable, "HTTP server: %w", err)
}

func stopWith(srv *http.Server) run.Func {
	return func(ctx context.Context) error {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpStopTimeout)
		defer cancel()
		if srv.Shutdown(stopping) != nil {
			_ = srv.Close()
		}
		return nil
	}
}

// monitoring serves /healthz, which says that the process is alive, and
// /metrics.
func (p *process) monitoring() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}))
	return mux
}

// run runs the process until ctx is done.
func (p *process) run(ctx context.Context) error {
	if len(p.exposed) > 0 {
		p.log.Info("others can reach listeners without TLS, which --insecure allows", "addr", strings.Join(p.exposed, ","))
	}
	defer context.AfterFunc(ctx, func() { p.health.stopping.Store(true) })()
	err := p.tree.Run(ctx)
	p.close()
	if err == nil {
		p.log.Info("stopped")
	}
	return err
}

func (p *process) close() {
	for i := len(p.closers) - 1; i >= 0; i-- {
		p.closers[i]()
	}
}
