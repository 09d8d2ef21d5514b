package registry

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/run"
)

// Kind is what the replicas of a registry announce themselves as.
const Kind = "registry"

// Replica is one of the registries of a runtime. One of them leads: it is a Registry,
// as an only one is. The others stand by (standby.go). Whoever leads has read the
// store, as after a restart; who leads no more has let go of everything.
//
//	standing by ── leads (members.Lead) ─► begins a term, reads the store ─► in office
//	     ▲                                                                      │
//	     └──── the lease is lost, a write is refused (term.go), SIGTERM ◄───────┘
//
// Its methods may be called side by side.
type Replica struct {
	cfg     Config
	log     *slog.Logger
	limits  Limits
	metrics *metrics
	standby *standby

	mu      sync.Mutex
	own     *Registry     // in office; nil while it stands by
	leader  *upstream     // the one that leads, unless it is this; nil when there is none
	changed chan struct{} // closed and made anew with each change of both
}

// upstream is a connection to the registry that leads.
type upstream struct {
	member members.Member
	client pb.RegistryClient
	hangUp func()
}

// NewReplica makes one of several registries. It starts nothing.
func NewReplica(cfg Config) (*Replica, error) {
	if cfg.Group == nil || cfg.Dial == nil {
		return nil, fault.New(fault.BadRequest, "registry: a replica needs a Group and Dial")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	if _, err := newRegistry(cfg, m); err != nil {
		return nil, err // what is wrong is said at start
	}
	m.office(nil)
	l := cfg.Limits.orDefaults()
	r := &Replica{cfg: cfg, log: cfg.Log, limits: l, metrics: m, changed: make(chan struct{})}
	r.standby = newStandby(cfg, l, m, r.standsBy)
	return r, nil
}

// Run leads or stands by until ctx is done. It is called once.
func (r *Replica) Run(ctx context.Context) error {
	return run.All(ctx,
		func(ctx context.Context) error { return r.cfg.Group.Lead(ctx, r.lead) },
		r.standBy,
	)
}

// standBy keeps what this registry needs to answer while it does not lead.
func (r *Replica) standBy(ctx context.Context) error {
	return run.All(ctx,
		func(ctx context.Context) error {
			defer r.follow(members.Member{}, false)
			return r.cfg.Group.WatchLeader(ctx, Kind, r.follow)
		},
		r.feed,
		r.standby.watchStore,
		r.standby.tickAlong,
		r.standby.stop,
	)
}

// lead is the time in which this registry leads.
func (r *Replica) lead(ctx context.Context) error {
	own, err := newRegistry(r.cfg, r.metrics)
	if err != nil {
		return err
	}
	err = run.All(ctx, own.Run, func(ctx context.Context) error {
		if own.untilLoaded(ctx) == nil { // also when a first attempt fails
			r.takeOffice(own)
		}
		return nil
	})
	r.takeOffice(nil)
	if errors.Is(err, errDeposed) {
		r.log.Warn("another registry has taken over", "error", err)
		return nil
	}
	return err
}

// takeOffice has calls answered by this registry itself, or no more. Buses that were
// answered otherwise begin anew, and use what they know meanwhile.
func (r *Replica) takeOffice(own *Registry) {
	r.mu.Lock()
	r.own = own
	r.metrics.office(own)
	r.changedLocked()
	r.mu.Unlock()
	if own != nil {
		r.standby.reset("this registry leads now")
	}
}

// follow connects with the registry that leads.
func (r *Replica) follow(m members.Member, ok bool) {
	var next *upstream
	if ok && m.ID != r.cfg.Group.Self().ID {
		conn, hangUp, err := r.cfg.Dial(m)
		if err != nil {
			r.log.Warn("the registry that leads has an address of no use", "addr", m.Addr, "error", err)
		} else {
			next = &upstream{member: m, client: pb.NewRegistryClient(conn), hangUp: hangUp}
		}
	}
	r.mu.Lock()
	before := r.leader
	r.leader = next
	r.changedLocked()
	r.mu.Unlock()
	if before != nil {
		before.hangUp()
	}
}

func (r *Replica) changedLocked() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// who gives who answers now: this registry, or the one that leads, or nobody; and what
// is closed when that changes.
func (r *Replica) who() (own *Registry, leader *upstream, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.own, r.leader, r.changed
}

// feed keeps what a standby knows up to date, as long as another registry leads.
func (r *Replica) feed(ctx context.Context) error {
	for ctx.Err() == nil {
		own, leader, changed := r.who()
		within, stop := context.WithCancel(ctx)
		over := context.AfterFunc(ctx, stop)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if own == nil && leader != nil {
				r.standby.follow(within, leader.client)
			}
		}()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		stop()
		over()
		<-done
	}
	return nil
}

// Serve registers the service Registry with a gRPC server.
func (r *Replica) Serve(s grpc.ServiceRegistrar) { pb.RegisterRegistryServer(s, &replicaServer{r: r}) }
