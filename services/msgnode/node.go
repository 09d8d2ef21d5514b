package msgnode

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/address"
)

// Config of a Node.
type Config struct {
	// Domain that the node serves, such as `example.org`.
	Domain string
	// Engine has the node's state, and connects its replicas. It outlives the
	// node.
	Engine *engine.Engine

	// WebSocketURL and GRPCEndpoints are what the descriptor names, such as
	// `wss://node.example.org/ws` and `node.example.org:7400`; several endpoints are
	// those of replicas. Empty: made from the Host of the request and, for gRPC, the
	// port of GRPCAddr.
	WebSocketURL  string
	GRPCEndpoints []string
	// GRPCAddr is what the gRPC server listens on.
	GRPCAddr string

	Limits  Limits                // zero: DefaultLimits
	Log     *slog.Logger          // nil: slog.Default()
	Metrics prometheus.Registerer // nil: not registered
	// Gatherer is what /metrics shows; nil: Metrics, if it can be gathered
	// from, else there is no /metrics.
	Gatherer prometheus.Gatherer
	// Tracer makes the spans; nil: none.
	Tracer *tracing.Tracer
	// OnReady is told whether sessions can be opened here, at each change; nil: nobody is.
	OnReady func(ready bool)
	// Now is the clock of what expires; nil: time.Now.
	Now func() time.Time
}

// Node is one replica of a domain's Message Node. Its methods may be called at
// the same time.
type Node struct {
	// Set by New.
	domain   string
	below    []string // addresses below which all are the node's own
	token    string   // the domain as NATS names have it
	replica  string   // this one's name, another one after each start
	engine   *engine.Engine
	cfg      Config
	limits   Limits
	log      *slog.Logger
	metrics  *metrics
	point    *tracing.Point
	now      func() time.Time
	wait     func(context.Context, time.Duration) error
	services map[string]service // by address
	opened   atomic.Bool        // both stores are there
	opens    *turns             // of sessions
	losses   *turns             // of their sockets, being noted
	missing  atomic.Int32       // parts still to arrive: both stores, the hop
	complete chan struct{}      // closed when none is missing
	ready    chan struct{}      // closed when clients are served
	sweeping chan struct{}      // asks for a sweep now; holds one signal
	mailing  chan struct{}      // asks for mail to be carried now; likewise

	// Set by Run before anything is served.
	life     context.Context // ends when the last socket has
	state    *store          // feeds directory
	registry *store          // feeds index
	running  sync.WaitGroup  // readers, writers and WebSocket handlers; added to while up

	// Something that was due could not be written, in this sweep and in the one before.
	sweepFails, sweepFailing atomic.Bool

	mu        sync.RWMutex
	down      error // why no sockets are admitted; nil while they are
	directory *directory
	index     *index
	sockets   map[string]*socket // by id
	mail      *mailboxes         // what waits for sessions that are not here
	pace      *pace
	silent    map[string]time.Time // other replicas that nobody listens for, and since when
	number    uint64               // of the last socket
}

// New makes a node. It starts nothing.
func New(cfg Config) (*Node, error) {
	if err := checkDomain(cfg.Domain); err != nil {
		return nil, err
	}
	if cfg.Engine == nil {
		return nil, fault.New(fault.BadRequest, "engine is missing")
	}
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	n := &Node{
		domain: cfg.Domain, below: []string{"domain://msg-node." + cfg.Domain, address.DomainRegistry(cfg.Domain)},
		token: natsName.Replace(cfg.Domain), replica: randomName(),
		engine: cfg.Engine, cfg: cfg, limits: cfg.Limits, log: cfg.Log, metrics: newMetrics(),
		point: cfg.Tracer.Point("msgnode", cfg.Domain),
		now:   cfg.Now, wait: wait, complete: make(chan struct{}),
		ready: make(chan struct{}), sweeping: make(chan struct{}, 1), mailing: make(chan struct{}, 1), life: context.Background(),
		down: errStarting, directory: newDirectory(), index: newIndex(cfg.Limits.EntryRetention), sockets: map[string]*socket{}, silent: map[string]time.Time{},
	}
	n.mail, n.opens, n.losses = newMailboxes(&n.limits), newTurns(n.limits.Opens), newTurns(n.limits.Opens)
	if n.log == nil {
		n.log = slog.Default()
	}
	if n.now == nil {
		n.now = time.Now
	}
	n.pace = newPace(&n.limits)
	n.services = map[string]service{
		address.Session:                       (*Node).sessionService,
		address.SubscriptionManager(n.domain): (*Node).subscriptionService,
		address.AddressAllocation(n.domain):   (*Node).allocationService,
		address.HypertyAllocation(n.domain):   (*Node).allocationService,
		address.ObjectAllocation(n.domain):    (*Node).allocationService,
		address.DomainRegistry(n.domain):      (*Node).registryService,
	}
	if cfg.Metrics != nil {
		return n, n.register(cfg.Metrics)
	}
	return n, nil
}

// natsName makes a name of NATS of a domain, another one for each domain.
var natsName = strings.NewReplacer(".", "_", ":", "__")

// checkDomain takes a host name, with or without a port: what a name of NATS can
// be made of.
func checkDomain(domain string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:"
	if domain == "" || len(domain) > 253 || strings.Trim(domain, allowed) != "" ||
		strings.Trim(domain, ".:") != domain || strings.Contains(domain, "..") || strings.Count(domain, ":") > 1 {
		return fault.New(fault.BadRequest, "domain %.80q is no domain name", domain)
	}
	return nil
}

func randomName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Run serves until ctx is done. Then it lets nobody in any more, sends what is
// queued, closes all sockets, notes their sessions as lost, and returns when
// nothing of the node is left running.
//
//	state, registry   the stores, each with its watcher
//	hop               what other replicas send
//	mail              what waits for sessions that are not here
//	sweep             expiry
//	sockets           the clients; started behind, and stopped before, what they use
//	readiness         is told while it is not stopping
func (n *Node) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	n.life = life
	var err error
	if n.state, err = openStore(ctx, n, "msgnode-"+n.token+"-state", n.applyState); err != nil {
		return err
	}
	if n.registry, err = openStore(ctx, n, "msgnode-"+n.token+"-registry", n.applyRegistry); err != nil {
		return err
	}
	n.opened.Store(true)
	var tree run.Tree
	n.missing.Store(3)
	tree.Add("state", func(ctx context.Context) error { return n.state.follow(ctx, n.arrival("state")) })
	tree.Add("registry", func(ctx context.Context) error { return n.registry.follow(ctx, n.arrival("registry")) })
	tree.Add("hop", n.listen)
	tree.Add("mail", n.carryMail)
	tree.Add("sweep", n.sweepOn)
	tree.Add("sockets", n.serveSockets)
	tree.Add("readiness", n.tellReady)
	return tree.Run(ctx)
}

// arrival is arrived for a part that arrives again and again.
func (n *Node) arrival(part string) func() { return sync.OnceFunc(func() { n.arrived(part) }) }

// arrived notes that a part which clients depend on is there.
func (n *Node) arrived(part string) {
	n.log.Debug("ready", "part", part)
	if n.missing.Add(-1) == 0 {
		close(n.complete)
	}
}

// Ready waits until clients are served.
func (n *Node) Ready(ctx context.Context) error {
	select {
	case <-n.ready:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "the node is not ready: %w", ctx.Err())
	}
}

// whyDown says why clients are not served; nil while they are.
func (n *Node) whyDown() error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.down
}

// serveSockets lets clients in until ctx is done, and then sees all of them out; in
// between too, while this replica is cut off from the others.
func (n *Node) serveSockets(ctx context.Context) error {
	select {
	case <-n.complete:
		n.setDown(nil)
		close(n.ready)
		n.log.Info("message node is ready", "replica", n.replica)
		n.untilCutOff(ctx)
	case <-ctx.Done():
	}
	n.seeOut(n.whyOut(ctx))
	for ctx.Err() == nil {
		n.untilBack(ctx)
		n.setDown(nil)
		n.untilCutOff(ctx)
		n.seeOut(n.whyOut(ctx))
	}
	n.setDown(errStopping)
	return nil
}

// whyOut says why clients are seen out: the node stops, or is cut off from the others.
func (n *Node) whyOut(ctx context.Context) error {
	if ctx.Err() != nil {
		return errStopping
	}
	return fault.New(fault.Unavailable, "the node is cut off: %s", n.engine.Lacks())
}

// seeOut lets nobody in any more, and sees those out who are there.
func (n *Node) seeOut(why error) {
	n.setDown(why)
	n.emptyMail()
	n.drain(why)
}

// drain sees all sockets out: each when its client has what was queued, or after
// DrainTimeout.
func (n *Node) drain(why error) {
	n.eachSocket((*socket).stop)
	out := make(chan struct{})
	go func() {
		n.running.Wait()
		close(out)
	}()
	late := time.NewTimer(n.limits.DrainTimeout)
	defer late.Stop()
	select {
	case <-out:
	case <-late.C:
		n.eachSocket(func(s *socket) { s.cancel(why) })
		<-out
	}
}

func (n *Node) eachSocket(do func(*socket)) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, s := range n.sockets {
		do(s)
	}
}

// enter counts a handler in that Run has to wait for, or says why clients are not served.
func (n *Node) enter() error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.down == nil {
		n.running.Add(1)
	}
	return n.down
}

// setDown says why clients are not served; nil: they are.
func (n *Node) setDown(why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = why
}

// nextSocketID is called with mu held.
func (n *Node) nextSocketID() string {
	n.number++
	return n.replica + "/" + strconv.FormatUint(n.number, 10)
}

// Register adds the node's gRPC transport to a server.
func (n *Node) Register(srv grpc.ServiceRegistrar) {
	pb.RegisterMessageNodeServer(srv, grpcServer{node: n})
}

// isOwn tells whether an address is the node's: no client may send from it, and
// messages to it are for a service.
func (n *Node) isOwn(name string) bool {
	for _, own := range n.below {
		if address.Within(name, own) {
			return true
		}
	}
	return name == address.Session
}

// service of an address; nil when there is none. A closing slash does not
// matter.
func (n *Node) service(to string) service { return n.services[strings.TrimSuffix(to, "/")] }

// wait sleeps, or gives up with ctx.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "gone while waiting: %w", ctx.Err())
	}
}
