package registry

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// Config of a registry.
type Config struct {
	// RuntimeURL of the runtime, `hyperty-runtime://<domain>/<id>`.
	RuntimeURL string
	Policy     Policy
	// P2PStub, NodeStub and Bus are connections to the other services of the
	// runtime. They may come up later. Without a P2PStub there are those that
	// announce themselves in the Group.
	P2PStub  pb.P2PStubClient
	NodeStub pb.NodeStubClient
	Bus      grpc.ClientConnInterface
	// Group is the replicas of the runtime's services, and Dial makes a connection to
	// one of them, and what ends it. Nil: there is one registry.
	Group *members.Group
	Dial  func(members.Member) (conn grpc.ClientConnInterface, hangUp func(), err error)
	// Engine has the store. It stays the caller's.
	Engine  *engine.Engine
	Limits  Limits
	Log     *slog.Logger          // nil: slog.Default()
	Metrics prometheus.Registerer // nil: not registered
	Now     func() time.Time      // nil: time.Now
	Version string                // what GetRuntime says
}

// Registry is the control plane of one runtime. Its methods may be called side by
// side once Run has read the store; calls over gRPC wait for that.
type Registry struct {
	cfg     Config
	log     *slog.Logger
	limits  Limits
	rules   rules
	bus     *client.Bus
	metrics *metrics
	lanes   *lanes
	loaded  chan struct{}         // closed when the store is read
	unread  atomic.Pointer[error] // why it is not, when the last attempt has failed
	stopped chan struct{}         // closed when Run stops
	deposed chan struct{}         // closed when another registry has taken over
	depose  func()                // closes it
	store   *store                // set before loaded is closed

	handler string // address of the handler stub; set before loaded is closed

	mu       sync.Mutex // guards what follows; nothing is waited for under it
	known    knowledge
	p2p      map[string]*p2pStub   // by replica; with one p2pstub it is that of ""
	invited  map[string]invitedAt  // by remote runtime
	unclosed map[peerKey]time.Time // what is to be closed
	nodes    map[string]*node      // by domain
	lookups  map[string]*lookup
	buses    map[*busStream]struct{}
	watchers map[*watcher]struct{}
	pulse    chan struct{} // closed and made anew whenever the table changes
	feed     feed
	parts    map[string]*pb.ComponentStatus
	saving   bool                       // places are being written to the store
	sessions map[string]*pb.NodeSession // by domain, as the Message Node stub says
	owing    bool                       // subscriptions, once the own session is live

	unanswered []*pb.Message // allocations of which it is not known what became

	wantedNodes map[string]struct{} // domains whose stub is missed, and could not be deployed yet

	links    links
	statuses statuses      // listeners of stubs' status
	renew    chan struct{} // subscriptions must be made at our own node
	slots    chan struct{} // of subscriptions that wait
	handing  chan struct{} // of invitations that are handed on
}

// New makes a registry that is the only one of its runtime. It starts nothing.
func New(cfg Config) (*Registry, error) {
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	r, err := newRegistry(cfg, m)
	if err == nil {
		m.office(r)
	}
	return r, err
}

// newRegistry makes one of which there may be others before and after it.
func newRegistry(cfg Config, m *metrics) (*Registry, error) {
	u, err := address.ParseRuntime(cfg.RuntimeURL)
	if err != nil {
		return nil, err
	}
	if cfg.P2PStub == nil && cfg.Group == nil || cfg.NodeStub == nil || cfg.Engine == nil {
		return nil, fault.New(fault.BadRequest, "registry: NodeStub, Engine, and P2PStub or Group must be set")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	limits := cfg.Limits.orDefaults()
	r := &Registry{
		cfg: cfg, log: cfg.Log, limits: limits, metrics: m, lanes: newLanes(), loaded: make(chan struct{}),
		stopped: make(chan struct{}), deposed: make(chan struct{}),
		rules: rules{own: u.Text, wants: cfg.Policy.P2P, limits: limits},
		known: knowledge{
			own: u.Text, domain: u.Domain, wants: cfg.Policy.P2P, table: newTable(limits), cache: newCache(limits),
			registrations: map[string]*registration{},
		},
		p2p: map[string]*p2pStub{}, invited: map[string]invitedAt{}, unclosed: map[peerKey]time.Time{},
		nodes: map[string]*node{}, lookups: map[string]*lookup{}, buses: map[*busStream]struct{}{},
		watchers: map[*watcher]struct{}{}, pulse: make(chan struct{}), feed: newFeed(),
		parts: newParts(), sessions: map[string]*pb.NodeSession{},
		wantedNodes: map[string]struct{}{},
		links:       newLinks(), statuses: newStatuses(),
		renew: make(chan struct{}, 1), slots: make(chan struct{}, limits.Subscriptions),
		handing: make(chan struct{}, limits.Invitations),
	}
	r.depose = sync.OnceFunc(func() { close(r.deposed) })
	r.bus, err = client.New(client.Config{
		Conn: cfg.Bus, Name: "registry", Component: pb.Component_COMPONENT_REGISTRY, Log: cfg.Log,
	})
	return r, err
}

// Run reads the store, and works until ctx is done. It is called once.
func (r *Registry) Run(ctx context.Context) error {
	return run.All(ctx,
		r.bus.Run,
		func(ctx context.Context) error {
			return r.lanes.run(ctx, func() { r.begin(ctx) })
		},
		r.afterLoad(r.listen),
		r.afterLoad(r.watchP2P),
		r.afterLoad(r.watchNodes),
		r.afterLoad(r.keepSubscribed),
		r.afterLoad(r.keepRegistered),
		r.afterLoad(r.publish),
		r.afterLoad(r.tickAlong),
		r.whileInOffice,
	)
}

// whileInOffice ends all the rest when another registry has taken over, and at its end the
// streams that this one serves.
func (r *Registry) whileInOffice(ctx context.Context) error {
	defer close(r.stopped)
	select {
	case <-r.deposed:
		return errDeposed
	case <-ctx.Done():
		return nil
	}
}

func (r *Registry) afterLoad(part run.Func) run.Func {
	return func(ctx context.Context) error {
		if r.untilLoaded(ctx) != nil {
			return nil
		}
		return part(ctx)
	}
}

// begin reads the store. The session with the runtime's own Message Node, which needs
// nothing of it, comes up meanwhile.
func (r *Registry) begin(ctx context.Context) {
	r.mu.Lock()
	r.wantNodeLocked(r.known.domain)
	r.mu.Unlock()
	if r.load(ctx) == nil {
		close(r.loaded)
	}
}

// ready waits until the store is read. Who asks while that fails, as on a full disk, is
// told so at once; what may be over soon is waited for.
func (r *Registry) ready(ctx context.Context) error {
	if why := r.unread.Load(); why != nil && !engine.IsPassing(*why) {
		return fault.New(fault.Unavailable, "the registry is still starting: %w", *why)
	}
	return r.untilLoaded(ctx)
}

func (r *Registry) untilLoaded(ctx context.Context) error {
	select {
	case <-r.loaded:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "the registry is still starting: %w", ctx.Err())
	}
}

// load reads the store back, and makes the handler's address the first time. It
// tries until the store is there or ctx is done.
func (r *Registry) load(ctx context.Context) error {
	var wait retry.Backoff
	for said := ""; ; {
		err := r.tryLoad(ctx)
		if err == nil || ctx.Err() != nil {
			r.unread.Store(nil)
			return ctx.Err()
		}
		r.unread.Store(&err)
		if text := err.Error(); text != said {
			said = text
			r.log.Warn("the store cannot be read yet", "error", err)
		}
		if err := wait.Wait(ctx); err != nil {
			return err
		}
	}
}

func (r *Registry) tryLoad(ctx context.Context) error {
	s, err := openStore(ctx, r.cfg.Engine, r.rules.own)
	if err != nil {
		return err
	}
	s.deposed, s.untaken = r.depose, r.metrics.storeErrors.Inc
	if err := s.begin(ctx, r.cfg.Now()); err != nil {
		return err
	}
	all, err := s.load(ctx)
	if err != nil {
		return err
	}
	if all.handler == "" {
		all.handler = address.Handler(r.rules.own, uuid.NewString())
		if err := s.saveHandler(ctx, all.handler); err != nil {
			return err
		}
	}
	if len(all.broken) > 0 {
		r.log.Warn("entries of the store cannot be read; they are left out", "entries", all.broken)
	}
	r.store, r.handler = s, all.handler
	r.restore(all)
	return nil
}

// restore takes over what was read. What was under way is checked when the P2P
// stub says what is up.
func (r *Registry) restore(all *saved) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	if !r.several() {
		r.p2p[""] = &p2pStub{client: r.cfg.P2PStub, handler: r.handler, part: KindP2PStub}
	} else {
		r.known.attended = []string{r.handler, address.Registry(r.rules.own)}
	}
	for _, c := range all.connections {
		if !r.several() {
			c.Replica, c.Successor.Replica = "", ""
		}
		switch {
		case c.underWay():
			c.Phase, c.deadline = settingUp, now.Add(r.limits.Setup)
		case c.Phase == restarting:
			c.deadline = now.Add(r.limits.RestartWait)
		case c.Role == handler && c.Stub != "" && !r.several():
			c.Stub = r.handler
		}
		if c.State == status.Live {
			c.Phase = unconfirmed
		}
		c.Successor.deadline = now.Add(r.limits.Setup)
		c.setPath(now, r.rules.wants)
		r.known.table.put(c.Remote, c)
		r.metrics.connections.WithLabelValues(c.State.String()).Inc()
		r.metrics.paths.WithLabelValues(pathName(c.Path.Way)).Inc()
	}
	r.known.cache.restore(all.places, now)
	for _, reg := range all.registrations {
		reg.due = now
		r.known.registrations[reg.url()] = reg
		r.feed.add(reg.url())
		r.metrics.registrations.WithLabelValues(reg.kind()).Inc()
	}
}

// apply is the only way in which the table changes: the machine takes the event,
// the entry is stored, and then its effects are acted on, in the entry's lane.
func (r *Registry) apply(e event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applyLocked(e)
}

func (r *Registry) applyLocked(e event) error {
	if r.known.table.late(e) {
		return nil
	}
	before := r.known.table.get(e.remote)
	if !before.exists() && len(r.known.table.byRemote) >= r.limits.Connections {
		return fault.New(fault.TooMany, "the p2pConnection table has %d entries already", r.limits.Connections)
	}
	e.at, e.jitter, e.id = r.cfg.Now(), rand.Float64(), uuid.NewString()
	after, effects, err := next(before, e, r.rules)
	if err != nil {
		r.metrics.illegal.WithLabelValues(before.State.String(), e.kind.String()).Inc()
		r.log.Warn("connection event refused", "remote", e.remote, "event", e.String(), "error", err)
		return err
	}
	if !after.exists() && !before.exists() {
		return nil
	}
	lost := r.known.table.put(e.remote, after)
	r.stalePeersLocked(lost)
	saves := changed(&before, &after)
	if saves || before.news != after.news {
		r.noteLocked(&before, &after)
	}
	if !saves && len(effects) == 0 {
		return nil
	}
	r.toCloseLocked(e.remote, effects)
	keeps := saves && (r.several() || !onlyFurther(&before, &after))
	r.lanes.put(e.remote, func(ctx context.Context) { r.act(ctx, e.remote, after, keeps, effects) })
	return nil
}

// onlyFurther tells whether a set-up has only come further, which is not stored: after a
// restart the P2P stub says how far it is.
func onlyFurther(before, after *connection) bool {
	return before.underWay() && after.underWay() && before.ID == after.ID && before.Stub == after.Stub &&
		before.Role == after.Role && before.Successor.Stub == after.Successor.Stub && before.Attempts == after.Attempts
}

// changed tells whether anything of an entry that is stored did.
func changed(before, after *connection) bool {
	return before.ID != after.ID || before.State != after.State || before.Phase != after.Phase ||
		before.Stub != after.Stub || before.Replica != after.Replica || before.Role != after.Role || before.Reason != after.Reason ||
		before.URL != after.URL || before.Attempts != after.Attempts || len(before.Transitions) != len(after.Transitions) ||
		before.Path != after.Path || before.Flow != after.Flow || before.Successor.Stub != after.Successor.Stub ||
		before.NextAttempt != after.NextAttempt || before.Resting != after.Resting || before.For != after.For
}

// noteLocked tells those who watch of an entry's change.
func (r *Registry) noteLocked(before, after *connection) {
	r.metrics.moved(before.State, after.State)
	r.metrics.tookPath(before, after)
	state := "gone"
	c := before
	if after.exists() {
		state, c = after.State.String(), after
	}
	if before.State != after.State || before.Stub != after.Stub {
		r.log.Debug("connection entry", "remote", c.Remote, "state", state, "role", roleName(c.Role), "stub", c.Stub)
	}
	if before.Handler != "" && after.Handler == "" && (after.exists() || before.State != status.Live) {
		r.known.cache.forget(c.Remote) // one that was live until it was closed has a handler that works
	}
	if after.exists() && before.Path.Way != after.Path.Way {
		r.log.Info("messages take another path", "remote", c.Remote, "path", pathName(c.Path.Way), "reason", c.Path.Reason)
	}
	r.tellWatchersLocked(c.ID, c.Remote)
	close(r.pulse)
	r.pulse = make(chan struct{})
}

// await waits until a condition on the table holds, which is looked at under mu.
func (r *Registry) await(ctx context.Context, holds func() bool) error {
	for {
		r.mu.Lock()
		ok, pulse := holds(), r.pulse
		r.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-pulse:
		case <-ctx.Done():
			return fault.From(ctx.Err())
		}
	}
}

func roleName(role pb.ConnectionRole) string {
	if role == requester {
		return "requester"
	}
	return "handler"
}

func timestamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }
