package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// Config of a gateway.
type Config struct {
	// Bus and Registry are connections to those of the runtime. They stay the
	// caller's.
	Bus, Registry grpc.ClientConnInterface
	// Origins are the pages that may use the gateway besides its own:
	// `https://console.example.org`, or `*` for all.
	Origins []string
	// Monitoring serves /metrics and /healthz; may be nil.
	Monitoring http.Handler
	// Metrics are registered there; may be nil.
	Metrics prometheus.Registerer
	Limits  Limits
	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Gateway serves HTTP. Its methods may be called by several goroutines.
type Gateway struct {
	cfg      Config
	limits   Limits
	log      *slog.Logger
	bus      pb.MessageBusClient
	registry pb.RegistryClient
	health   healthpb.HealthClient // of the bus
	metrics  *metrics
	handler  http.Handler
	codec    *codec
	feeds    chan struct{} // a place for each
	posts    chan struct{} // likewise
	bodies   held

	mu            sync.Mutex
	life          context.Context // nil before Run and after it
	sockets       int
	subscriptions map[string]*subscription
	streams       sync.WaitGroup // added to under mu while there is life
}

// New makes a gateway; it serves while Run runs.
func New(cfg Config) (*Gateway, error) {
	if cfg.Bus == nil || cfg.Registry == nil {
		return nil, fault.New(fault.BadRequest, "gateway: no connection to the bus, or to the registry")
	}
	for _, o := range cfg.Origins {
		if u, err := url.Parse(o); o != "*" && (err != nil || u.Host == "" || o != u.Scheme+"://"+u.Host) {
			return nil, fault.New(fault.BadRequest, "cors-origin %q: want SCHEME://HOST[:PORT]", o).In("cors-origin")
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	g := &Gateway{
		cfg: cfg, limits: cfg.Limits.orDefaults(), log: cfg.Log,
		bus: pb.NewMessageBusClient(cfg.Bus), registry: pb.NewRegistryClient(cfg.Registry), health: healthpb.NewHealthClient(cfg.Bus),
		metrics: newMetrics(), codec: newCodec(), subscriptions: map[string]*subscription{},
	}
	g.posts = make(chan struct{}, g.limits.Waiting)
	g.bodies.most = g.limits.Bodies
	g.feeds = make(chan struct{}, g.limits.Feeds)
	if err := g.metrics.register(cfg.Metrics, g); err != nil {
		return nil, err
	}
	handler, err := g.routes()
	g.handler = handler
	return g, err
}

// Handler serves all of it.
func (g *Gateway) Handler() http.Handler { return g.handler }

// Run keeps the streams of the gateway going until ctx is done; then it waits for their
// ends.
func (g *Gateway) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.mu.Lock()
	g.life = ctx
	g.mu.Unlock()
	<-ctx.Done()
	g.mu.Lock()
	g.life = nil
	g.mu.Unlock()
	g.streams.Wait()
	return nil
}

// errNotUp is told to whoever wants a stream before Run, or after it.
var errNotUp = fault.New(fault.Unavailable, "the gateway is starting or stopping")

// begin gives the life of a stream, which ends it with Run or the request. end is
// called once it is over.
func (g *Gateway) begin(request context.Context) (ctx context.Context, end func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.life == nil {
		return nil, nil, errNotUp
	}
	ctx, cancel := context.WithCancel(request)
	stop := context.AfterFunc(g.life, cancel)
	g.streams.Add(1)
	return ctx, func() {
		stop()
		cancel()
		g.streams.Done()
	}, nil
}

// sizes are for the metrics.
func (g *Gateway) sizes() (subscriptions, sockets, feeds int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.subscriptions), g.sockets, len(g.feeds)
}
