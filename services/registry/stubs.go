package registry

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
)

// KindP2PStub is what the replicas of p2pstub announce themselves as.
const KindP2PStub = "p2pstub"

// p2pStub is a replica of p2pstub: the only one, or one of several.
//
//	announced ─► dialled, watched ─► seen ─► leaving ─► (gone)
//	                  ▲               │ the stream breaks, and is not back at once
//	                  └── lost ◄──────┘
//
// What a replica has that is lost or leaving is set up again at another. Registry.mu
// guards seen, met and leaving.
type p2pStub struct {
	member  members.Member // the zero one: there is but one p2pstub
	client  pb.P2PStubClient
	handler string // address of its handler stub
	part    string // its key among the components
	seen    bool   // it says what it has
	met     bool   // it has done so since this registry leads
	leaving bool   // it is told to stop

	stop context.CancelFunc // ends follow
	done chan struct{}      // closed when follow has ended
}

// several tells whether the P2P stubs are those that announce themselves.
func (r *Registry) several() bool { return r.cfg.P2PStub == nil }

func (p *p2pStub) usable() bool { return p.seen && !p.leaving }

// handlerAt is the address of a replica's handler stub: below that of the runtime,
// which others know, and another one with each start.
func handlerAt(public, id string) string {
	if id == "" {
		return public
	}
	return public + "-" + id
}

// watchP2P follows what the P2P stubs have.
func (r *Registry) watchP2P(ctx context.Context) error {
	if only := r.p2p[""]; !r.several() {
		return r.follow(ctx, only)
	}
	err := r.cfg.Group.Watch(ctx, KindP2PStub, func(all []members.Member) { r.takeMembers(ctx, all) })
	r.mu.Lock()
	stubs := slices.Collect(maps.Values(r.p2p))
	r.mu.Unlock()
	for _, p := range stubs {
		p.stop()
		<-p.done
	}
	return err
}

// takeMembers follows those that have come, and loses what those have that are gone.
func (r *Registry) takeMembers(ctx context.Context, all []members.Member) {
	here := map[string]members.Member{}
	for _, m := range all {
		here[m.ID] = m
	}
	r.mu.Lock()
	var gone []*p2pStub
	for id, p := range r.p2p {
		if _, is := here[id]; !is {
			p.leaving = true
			gone = append(gone, p)
		}
	}
	r.noStubLocked(len(all) == 0)
	r.mu.Unlock()
	for _, p := range gone {
		r.partWith(ctx, p)
	}
	for id, m := range here {
		r.meet(ctx, id, m)
	}
	r.loseOrphans()
}

// partWith forgets a replica that is gone.
func (r *Registry) partWith(ctx context.Context, p *p2pStub) {
	p.stop()
	<-p.done
	r.mu.Lock()
	delete(r.p2p, p.member.ID)
	delete(r.parts, p.part)
	r.mu.Unlock()
	r.lanes.spawn(func(context.Context) { r.statuses.close(ctx, r.limits.DeployWait, p.handler) })
}

// noStubLocked says among the components that there is none.
func (r *Registry) noStubLocked(none bool) {
	if none {
		r.partLocked(KindP2PStub, fault.New(fault.Unavailable, "no p2pstub has announced itself"))
	} else {
		delete(r.parts, KindP2PStub)
	}
}

// partOf is the name of a replica among the components.
func partOf(m members.Member) string { return KindP2PStub + " " + m.Addr }

// partNameLocked is what a component is called. Of a replica that was started again
// there can be two for a moment.
func (r *Registry) partNameLocked(key string) string {
	for _, p := range r.p2p {
		if p.part == key && p.member.Addr != "" {
			return partOf(p.member)
		}
	}
	return key
}

// meet begins to follow a replica, or notes that it leaves.
func (r *Registry) meet(ctx context.Context, id string, m members.Member) {
	r.mu.Lock()
	p := r.p2p[id]
	r.mu.Unlock()
	if p != nil {
		if m.Leaving {
			r.abandon(p)
		}
		return
	}
	conn, hangUp, err := r.cfg.Dial(m)
	if err != nil {
		r.log.Warn("a P2P stub has an address of no use", "addr", m.Addr, "error", err)
		return
	}
	p = &p2pStub{
		member: m, client: pb.NewP2PStubClient(conn), handler: handlerAt(r.handler, id),
		part: partOf(m) + " " + id, done: make(chan struct{}),
	}
	var own context.Context
	own, p.stop = context.WithCancel(ctx)
	r.mu.Lock()
	r.p2p[id] = p
	r.partLocked(p.part, fault.New(fault.Unavailable, "not connected yet"))
	r.mu.Unlock()
	go func() {
		defer close(p.done)
		defer hangUp()
		_ = r.follow(own, p)
	}()
	r.lanes.spawn(func(context.Context) { r.awaitFirst(own, p) })
	if m.Leaving {
		r.abandon(p)
	}
}

// follow keeps a Watch stream of a replica up. One of several that is not back at once
// after its stream broke is lost.
func (r *Registry) follow(ctx context.Context, p *p2pStub) error {
	missed := false // it was seen until a moment ago
	return r.keepWatching(ctx, p.part, func(ctx context.Context) error {
		hasty := missed && r.several()
		err := r.watchOnce(ctx, p, hasty)
		if ctx.Err() != nil {
			return err
		}
		missed = r.loseSight(p)
		if hasty && !missed {
			r.loseAll(p, "its p2pstub cannot be reached: "+fault.From(err).Description)
		}
		return err
	})
}

// watchOnce takes what one Watch stream says until it ends; a hasty one must begin
// within Limits.ReplicaWait.
func (r *Registry) watchOnce(ctx context.Context, p *p2pStub, hasty bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begun := func() bool { return true }
	if hasty {
		begun = time.AfterFunc(r.limits.ReplicaWait, cancel).Stop
	}
	defer begun()
	stream, err := p.client.Watch(ctx, &pb.P2PStubWatchRequest{Term: r.term(), Replica: p.member.ID}, grpc.WaitForReady(!hasty))
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return r.heed(err)
		}
		if resp.Snapshot {
			begun()
			r.takeSnapshot(ctx, p, resp)
			continue
		}
		if resp.Leaving {
			r.abandon(p)
		}
		for _, peer := range resp.Peers {
			r.takePeer(ctx, p, peer, onWatch)
		}
	}
}

// takeSnapshot takes what a P2P stub has when its stream begins.
func (r *Registry) takeSnapshot(ctx context.Context, p *p2pStub, resp *pb.P2PStubWatchResponse) {
	r.mu.Lock()
	p.seen, p.met = true, true
	r.partLocked(p.part, nil)
	r.mu.Unlock()
	r.lanes.spawn(func(context.Context) { r.deployHandler(ctx, p) })
	r.reconcile(ctx, p, resp)
}
