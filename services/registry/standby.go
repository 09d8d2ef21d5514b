package registry

import (
	"context"
	"log/slog"
	"sync"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/address"
)

// standby is a registry that does not lead. To the one that does it is what a bus is:
// it asks on one Routes stream, keeps the answers and follows their changes. The table
// it has by WatchConnections, and what is registered out of the store. It goes on
// with what it knows while nobody leads.
//
//	bus ── Routes ──► relayed (relayed.go) ── Routes ──────────► the registry that leads
//	CLI ── List… ───► mirror (mirror.go) ◄─── WatchConnections ──┘
//	                     ▲
//	                     └─── registration.* ── store
type standby struct {
	cfg     Config
	log     *slog.Logger
	limits  Limits
	metrics *metrics
	relayed *relayed
	answers func() bool // whether this registry still stands by

	mu      sync.Mutex
	mirror  mirror
	over    chan struct{}          // closed, and made anew, when those who watch must come back
	runtime *pb.GetRuntimeResponse // what was said last; nil at first
}

func newStandby(cfg Config, l Limits, m *metrics, answers func() bool) *standby {
	return &standby{
		cfg: cfg, log: cfg.Log, limits: l, metrics: m, answers: answers,
		relayed: newRelayed(l, cfg.Now, func() *fault.Error { return nobodyLeads(cfg.Group) }), mirror: newMirror(), over: make(chan struct{}),
	}
}

// follow is fed by the registry that leads until ctx is done.
func (s *standby) follow(ctx context.Context, c pb.RegistryClient) {
	_ = run.All(ctx,
		s.again("routes", func(ctx context.Context) error { return s.askAlong(ctx, c) }),
		s.again("table", func(ctx context.Context) error { return s.watchTable(ctx, c) }),
	)
}

// again keeps a stream to the registry that leads up.
func (s *standby) again(what string, stream func(context.Context) error) run.Func {
	return func(ctx context.Context) error {
		retry.Keep(ctx, func(ctx context.Context) error { return stream(s.forwarding(ctx)) },
			func(err error) {
				s.log.Log(ctx, fault.EndLevel(err), "stream to the registry that leads broke, trying again", "part", what, "error", err)
			},
			func() { s.log.Info("stream to the registry that leads is back", "part", what) })
		return nil
	}
}

// tickAlong answers the questions that have waited too long for someone who leads.
func (s *standby) tickAlong(ctx context.Context) error {
	return every(ctx, s.limits.Tick, s.relayed.giveUp)
}

// errAnswersItself ends what was served by a standby that leads now.
var errAnswersItself = fault.New(fault.Unavailable, "this registry leads now: begin anew")

// reset ends the streams of buses and of those who watch the table: they come back.
func (s *standby) reset(why string) {
	s.relayed.reset(why, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.over)
	s.over = make(chan struct{})
}

// stop ends what is served when ctx is done.
func (s *standby) stop(ctx context.Context) error {
	<-ctx.Done()
	s.reset("the registry is stopping")
	return nil
}

func (s *standby) noteRuntime(r *pb.GetRuntimeResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runtime = r
}

// describe is what is known of the runtime while nobody leads.
func (s *standby) describe() *pb.GetRuntimeResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := &pb.GetRuntimeResponse{RuntimeUrl: s.cfg.RuntimeURL, Version: s.cfg.Version}
	if own, err := address.ParseRuntime(s.cfg.RuntimeURL); err == nil {
		resp.Domain = own.Domain
	}
	if s.runtime != nil {
		resp.P2PHandlerUrl = s.runtime.P2PHandlerUrl
	}
	resp.Registrations = uint32(len(s.mirror.registrations)) // bounded by Limits
	resp.Connections = uint32(len(s.mirror.table))           // bounded by Limits
	resp.Components = []*pb.ComponentStatus{natsStatus(s.cfg.Group), {Name: Kind, Reason: nobodyLeads(s.cfg.Group).Description}}
	return resp
}
