package p2pstub

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// ICEServer is a STUN or TURN server.
type ICEServer = rtc.ICEServer

// Config of a P2P stub.
type Config struct {
	// RuntimeURL is the runtime whose connections these are.
	RuntimeURL string
	// Replica tells it from other p2pstubs of the runtime; empty for the only one.
	Replica string
	// Bus is the connection to the bus. It stays the caller's.
	Bus grpc.ClientConnInterface
	// ICEServers help where the runtimes cannot reach each other directly; none
	// by default.
	ICEServers []ICEServer
	// UDPPort is the one port of all connections; 0 picks one.
	UDPPort int
	// AdvertiseIPs take the place of the machine's own addresses in what the
	// other side is told.
	AdvertiseIPs []netip.Addr
	Limits       Limits
	// Log defaults to slog.Default().
	Log *slog.Logger
	// Metrics; nil registers none.
	Metrics prometheus.Registerer
	// Tracer makes the spans; nil for none.
	Tracer *tracing.Tracer

	interfaces func() []netip.Addr // of this machine; nil asks the system
}

// Stub keeps the peer connections of a runtime. Its methods may be called by
// several goroutines, also before Run.
type Stub struct {
	cfg       Config
	limits    Limits
	log       *slog.Logger
	metrics   *metrics
	point     *tracing.Point
	runtime   address.URL
	bus       *client.Bus
	addresses *addresses
	leaving   chan struct{}   // closed by Leave
	ready     chan struct{}   // closed once engine and last are set
	engine    *rtc.Engine     // set by Run
	last      context.Context // for what must still be said while Run ends
	endLast   func()
	work      sync.WaitGroup // the peers

	mu        sync.Mutex
	stopping  bool
	stubs     map[string]*deployed // by address
	peers     map[string]*peer     // the current one of each remote runtime
	heirs     map[string]*peer     // that are to take the place of a current one
	newcomers map[string]*peer     // of whom that shows when they are live
	all       map[*peer]bool       // those that are being released too
	invited   int                  // handlers' peers whose set-up is under way
	turns     turns                // of those
	minibus   map[string]*lead     // by p2p connection URL
	watchers  watchers
	lastTime  time.Time
	term      uint64 // the highest that a registry has said
}

var (
	errClosed = fault.New(fault.Unavailable, "the P2P connection is closed")
	errStops  = fault.New(fault.Unavailable, "the P2P stub stops")
)

// New makes a stub; Run starts it.
func New(cfg Config) (*Stub, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	runtime, err := address.ParseRuntime(cfg.RuntimeURL)
	if err != nil {
		return nil, err
	}
	bus, err := client.New(client.Config{
		Conn: cfg.Bus, Name: "p2pstub", Component: pb.Component_COMPONENT_P2P_STUB, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	m, limits := newMetrics(cfg.Metrics), cfg.Limits.orDefaults()
	s := &Stub{
		cfg: cfg, limits: limits, log: cfg.Log, metrics: m, runtime: runtime, bus: bus,
		point:     cfg.Tracer.Point("p2pstub", runtime.Text),
		addresses: newAddresses(bus, runtime, limits, cfg.Log, m), leaving: make(chan struct{}), ready: make(chan struct{}),
		stubs: map[string]*deployed{}, peers: map[string]*peer{}, heirs: map[string]*peer{}, newcomers: map[string]*peer{}, all: map[*peer]bool{}, minibus: map[string]*lead{},
		watchers: watchers{limits: limits, all: map[*watcher]bool{}, metrics: m, noted: map[*peer]bool{}},
	}
	m.watch(cfg.Metrics, s)
	return s, nil
}

// Run serves until ctx is done: then it closes all peer connections, tells the
// other sides, and gives back what it has. It is called once.
func (s *Stub) Run(ctx context.Context) error {
	engine, err := rtc.Open(rtc.Config{
		ICEServers: s.cfg.ICEServers, UDPPort: s.cfg.UDPPort, AdvertiseIPs: s.cfg.AdvertiseIPs,
		Interfaces: s.cfg.interfaces, Patience: s.limits.Patience, Silence: s.limits.RestQuiet + s.limits.Quiet, Candidates: s.limits.Candidates,
		Close: s.limits.Close, Log: s.log,
	})
	if err != nil {
		return err
	}
	defer func() { _ = engine.Close() }() // a socket that is closed anyway
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.engine, s.last, s.endLast = engine, last, cancel
	close(s.ready)
	var tree run.Tree
	tree.Add("bus", s.bus.Run)
	tree.Add("addresses", s.addresses.run)
	tree.Add("network", s.watchNetwork)
	tree.Add("peers", s.keepPeers)
	return tree.Run(ctx)
}

// keepPeers ends the peers when ctx is done, within Limits.Stop.
func (s *Stub) keepPeers(ctx context.Context) error {
	l, err := s.bus.ListenAll(ctx, s.stray)
	if err != nil && ctx.Err() == nil {
		return err
	}
	<-ctx.Done()
	s.mu.Lock()
	s.stopping = true
	s.watchers.end()
	s.mu.Unlock()
	hurry := time.AfterFunc(s.limits.Stop, s.endLast) // a bus that is away holds up no stop
	defer hurry.Stop()
	s.closeAll()
	s.work.Wait()
	stop, cancel := context.WithTimeout(s.last, s.limits.Stop)
	defer cancel()
	if l != nil {
		_ = l.Close(stop) // without the bus there is no listener either
	}
	return nil
}

// isReady waits until Run has begun.
func (s *Stub) isReady(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "the P2P stub is not running")
	}
}

// isCurrent tells whether no other peer has taken a peer's place.
func (s *Stub) isCurrent(p *peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room(p.place)[p.remote] == p
}

// settled counts a set-up that others began as over. The mutex is held.
func (s *Stub) settled(p *peer) {
	if p.role == handler && settingUp(p.now.state) {
		s.invited--
	}
	s.endTurn(p)
}

// forget takes a peer out, once it has let go of everything. The watchers are
// told, unless another is there in its place already, or they have never heard of it.
func (s *Stub) forget(ctx context.Context, p *peer) {
	s.mu.Lock()
	delete(s.all, p)
	delete(s.watchers.noted, p)
	now := s.peers[p.remote]
	if room := s.room(p.place); room[p.remote] == p {
		delete(room, p.remote)
	}
	s.settled(p)
	s.metrics.moved(p.role, p.now.state, status.None, 0)
	if !p.muted && (now == nil || now == p || now.url != p.url) {
		p.info.Gone = true
		s.watchers.tell(p.info)
	}
	d := s.stubs[p.url]
	s.mu.Unlock()
	if d != nil && d.peer == p {
		s.withdraw(ctx, d)
	}
}

// close ends a peer connection, or a whole stub. What is gone is no error.
func (s *Stub) close(ctx context.Context, url, remote, reason string) {
	s.mu.Lock()
	d := s.stubs[url]
	var peers []*peer
	for p := range s.all {
		if p.url == url && (remote == "" || p.remote == remote) {
			peers = append(peers, p)
		}
	}
	s.mu.Unlock()
	if d != nil && d.role == handler && remote == "" {
		s.withdraw(ctx, d) // first, so that none begins that waits
	}
	for _, p := range peers {
		p.tell(event{kind: closed, reason: reason})
	}
}

// moved notes a peer's new state, and tells which states are to be published for
// it, and which peer it has succeeded. The watchers hear of it from shown, which follows.
func (s *Stub) moved(p *peer, state status.State, reason string) (by succession, say []status.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case p.place != inOffice && state == status.Live && s.room(p.place)[p.remote] == p: // else it is about to give way
		by, say = s.succeed(p)
	case !p.muted:
		say = []status.State{state}
	}
	if !settingUp(state) {
		s.settled(p)
	}
	delete(s.watchers.noted, p) // shown tells that too
	s.metrics.moved(p.role, p.now.state, state, time.Since(p.began))
	p.now.state, p.info.State, p.info.Reason, p.info.Doubt = state, state.Proto(), reason, false
	if state == status.Live {
		p.liveSince = time.Now()
	}
	return by, say
}

// shown tells the watchers of a state that moved has noted, or of one before that.
func (s *Stub) shown(p *peer, state status.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.info.State = state.Proto()
	s.show(p)
}

// now is the time, later each time it is asked: an object's creation tells it
// from the ones before it.
func (s *Stub) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := time.Now().UTC()
	if !t.After(s.lastTime) {
		t = s.lastTime.Add(time.Nanosecond)
	}
	s.lastTime = t
	return t
}

// refuse tells the sender of a request why it does not arrive.
func (s *Stub) refuse(ctx context.Context, m *pb.Message, why error) {
	if message.IsResponse(m) {
		return
	}
	m = s.point.Mark(m, tracing.Refuse, why)
	if err := s.bus.Send(ctx, message.Refuse(m, why)); err != nil {
		s.log.Debug("a refusal could not be sent", "to", m.From, "error", err)
	}
}

// dropReason names an error for the metrics.
func dropReason(err error) string {
	if fault.CodeOf(err) == fault.TooLarge {
		return dropTooLarge
	}
	return dropClosed
}

// runtimeKey is a runtime's URL without the slash that older ones end it with.
func runtimeKey(url string) string { return strings.TrimSuffix(url, "/") }
