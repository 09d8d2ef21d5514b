package nodestub

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/address"
)

// Config of a Stub.
type Config struct {
	// RuntimeURL is the runtime whose sessions these are.
	RuntimeURL string
	// Bus is the connection to the runtime's bus. It stays the caller's.
	Bus grpc.ClientConnInterface
	// Nodes gives the gRPC endpoints of Message Nodes by domain, one for each
	// replica or for several. Any other domain is looked up at its well-known
	// descriptor.
	Nodes map[string][]string
	// Security of gRPC connections with Message Nodes. Without TLS, a gRPC
	// endpoint that a descriptor names is used on loopback alone.
	Security rpc.Security
	// Dial makes a connection to a gRPC endpoint, one for each attempt; it is
	// closed after use if it is an io.Closer. at is the address to connect to,
	// empty where the target says it. Default: rpc.Dial with Security.
	Dial func(target, at string) (grpc.ClientConnInterface, error)
	// LookUp gives the addresses of a host. Default: those of the system.
	LookUp func(ctx context.Context, host string) ([]netip.Addr, error)
	// HTTPClient reads descriptors and opens WebSockets. Default:
	// http.DefaultClient.
	HTTPClient *http.Client
	// AllowPlain allows descriptors over http, and the endpoints without TLS
	// that they name, beyond loopback.
	AllowPlain bool
	Limits     Limits
	Log        *slog.Logger          // default: slog.Default()
	Metrics    prometheus.Registerer // nil: not registered
	Tracer     *tracing.Tracer       // nil: no spans
}

// Stub is the Message Node stubs of a runtime. All methods may be called by
// several goroutines.
type Stub struct {
	cfg     Config
	bus     *client.Bus
	finder  *finder
	metrics *metrics
	point   *tracing.Point
	turn    chan struct{} // held by the Deploy or Close that is at work
	running chan struct{} // closed when sessions can be started

	mu       sync.Mutex
	domains  map[string]*domain
	watchers map[*watcher]struct{}
	ctx      context.Context // of the sessions; set by Run
	stopped  bool
	sessions sync.WaitGroup // added to under mu while not stopped
}

// domain is one that is deployed.
type domain struct {
	session  *session
	listener *client.Listener
	view     *pb.NodeSession // what watchers were told last; not changed
}

// New checks the settings; Run starts.
func New(cfg Config) (*Stub, error) {
	runtime, err := address.ParseRuntime(cfg.RuntimeURL)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "nodestub: %w", err)
	}
	cfg.RuntimeURL = runtime.Text
	for d, targets := range cfg.Nodes {
		if err := checkDomain(d); err != nil {
			return nil, fault.New(fault.BadRequest, "nodestub: node: %w", err)
		}
		if len(targets) == 0 || slices.Contains(targets, "") {
			return nil, fault.New(fault.BadRequest, "nodestub: the node of %s has no address", d)
		}
		if most := cfg.Limits.orDefaults().Endpoints; len(targets) > most {
			return nil, fault.New(fault.BadRequest, "nodestub: the node of %s has %d addresses, more than %d", d, len(targets), most)
		}
	}
	tls, err := cfg.Security.ClientTLS()
	if err != nil {
		return nil, fault.New(fault.BadRequest, "nodestub: %w", err)
	}
	cfg = cfg.orDefaults()
	bus, err := client.New(client.Config{
		Conn: cfg.Bus, Name: "nodestub", Component: pb.Component_COMPONENT_NODE_STUB, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	return &Stub{
		cfg: cfg, bus: bus, finder: newFinder(cfg, tls != nil), metrics: newMetrics(cfg.Metrics),
		point: cfg.Tracer.Point("nodestub", runtime.Text),
		turn:  make(chan struct{}, 1), running: make(chan struct{}),
		domains: map[string]*domain{}, watchers: map[*watcher]struct{}{},
	}, nil
}

func (cfg Config) orDefaults() Config {
	if cfg.Dial == nil {
		security := cfg.Security
		cfg.Dial = func(target, at string) (grpc.ClientConnInterface, error) { return dial(target, at, security) }
	}
	if cfg.LookUp == nil {
		cfg.LookUp = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = http.DefaultClient
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Limits = cfg.Limits.orDefaults()
	return cfg
}

// dial makes a connection that is told of its certificate by the target, wherever it
// leads.
func dial(target, at string, security rpc.Security) (grpc.ClientConnInterface, error) {
	if at == "" {
		return rpc.Dial(target, security, grpc.WithContextDialer(security.DialAddr))
	}
	return rpc.Dial("passthrough:///"+target, security, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return security.DialAddr(ctx, at)
	}))
}

// Run keeps the attachment to the bus and the sessions until ctx is done. Then
// what is queued is sent, within Limits.DrainTimeout; the nodes keep the sessions.
// It is called once.
func (s *Stub) Run(ctx context.Context) error {
	var parts run.Tree
	parts.Add("attachment to the bus", s.bus.Run)
	parts.Add("sessions", s.runSessions)
	return parts.Run(ctx)
}

func (s *Stub) runSessions(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	close(s.running)
	<-ctx.Done()
	s.mu.Lock()
	s.stopped = true
	for w := range s.watchers {
		s.endWatcher(w, errStopping)
	}
	s.mu.Unlock()
	s.sessions.Wait()
	return nil
}

var errStopping = fault.New(fault.Unavailable, "nodestub is stopping")

// Deploy makes the stub of a domain, and its listener on the bus. It waits for
// the bus, not for the session. What is there already is left as it is.
func (s *Stub) Deploy(ctx context.Context, name, stubURL string) error {
	if err := checkDomain(name); err != nil {
		return err
	}
	if err := s.checkStubURL(stubURL); err != nil {
		return err
	}
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	if there, err := s.isDeployed(name, stubURL); there || err != nil {
		return err
	}
	session := s.newSession(name, stubURL)
	listener, err := s.bus.ListenCarried(ctx, stubURL, session.deliver)
	if err != nil {
		return err
	}
	return s.start(session, listener)
}

// checkStubURL takes what stands below `<runtimeURL>/protostub/`.
func (s *Stub) checkStubURL(stubURL string) error {
	prefix := address.NodeStubURL(s.cfg.RuntimeURL, "")
	if len(stubURL) <= len(prefix) || stubURL[:len(prefix)] != prefix || len(stubURL) > address.MaxLength {
		return fault.New(fault.BadRequest, "%.200q is no Message Node stub of this runtime; want %s<domain>", stubURL, prefix)
	}
	return nil
}

// take waits until this call alone changes what is deployed, and can do so.
func (s *Stub) take(ctx context.Context) error {
	select {
	case <-s.running:
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "nodestub has not started: %w", ctx.Err())
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.From(ctx.Err())
	}
}

func (s *Stub) give() { <-s.turn }

func (s *Stub) isDeployed(name, stubURL string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.domains[name]
	switch {
	case s.stopped:
		return false, errStopping
	case d != nil && d.session.stubURL != stubURL:
		return false, fault.New(fault.Conflict, "the stub of %s is %s already", name, d.session.stubURL)
	case d != nil:
		return true, nil
	case len(s.domains) >= s.cfg.Limits.Domains:
		return false, fault.New(fault.TooMany, "there are %d Message Node stubs already", len(s.domains))
	}
	return false, nil
}

func (s *Stub) newSession(name, stubURL string) *session {
	se := &session{
		domain: name, stubURL: stubURL, runtimeURL: s.cfg.RuntimeURL, limits: s.cfg.Limits,
		log: s.cfg.Log, metrics: s.metrics, point: s.point, bus: s.bus, find: s.finder.find, dial: s.dial,
		changed: s.changed,
	}
	se.init()
	return se
}

func (s *Stub) dial(ctx context.Context, e endpoint, within time.Duration) (conn, error) {
	if e.grpc != "" {
		return s.dialGRPC(ctx, e, within)
	}
	return s.dialWebSocket(ctx, e.websocket, within)
}

// start runs a session whose listener is in place.
func (s *Stub) start(se *session, l *client.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errStopping
	}
	s.domains[se.domain] = &domain{session: se, listener: l, view: se.view()}
	ctx := s.ctx
	s.sessions.Go(func() { se.run(ctx) })
	return nil
}

// Close ends the session of a stub at its node, and takes the stub away.
// What is not there is gone already.
func (s *Stub) Close(ctx context.Context, stubURL string) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	d := s.byURL(stubURL)
	if d == nil {
		return nil
	}
	d.session.close()
	err := d.listener.Close(ctx)
	<-d.session.done // within Limits.CloseTimeout for the node, and again for the bus
	s.mu.Lock()
	delete(s.domains, d.session.domain)
	s.mu.Unlock()
	return err
}

func (s *Stub) byURL(stubURL string) *domain {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.domains {
		if d.session.stubURL == stubURL {
			return d
		}
	}
	return nil
}
