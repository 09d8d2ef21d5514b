package registry

import (
	"context"
	"log/slog"
	"slices"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/status"
)

// keepWatching opens a stream again and again, and says in parts how it is.
func (r *Registry) keepWatching(ctx context.Context, part string, watch func(ctx context.Context) error) error {
	var wait retry.Backoff
	for {
		began := time.Now()
		err := watch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		r.mu.Lock()
		lost := r.parts[part].Connected
		r.partLocked(part, err)
		r.mu.Unlock()
		if lost {
			r.log.Log(ctx, fault.EndLevel(err), "stream broke", "part", part, "error", err)
		}
		if time.Since(began) > retry.DefaultMax {
			wait.Reset()
		}
		if wait.Wait(ctx) != nil {
			return nil
		}
	}
}

// newParts are the components that a registry is connected with.
func newParts() map[string]*pb.ComponentStatus {
	parts := map[string]*pb.ComponentStatus{}
	for _, name := range []string{"bus", "p2pstub", "nodestub"} {
		parts[name] = &pb.ComponentStatus{Name: name, Reason: "not connected yet"}
	}
	return parts
}

// partLocked notes that a component is connected, or why not.
func (r *Registry) partLocked(name string, err error) {
	p := &pb.ComponentStatus{Name: name, Connected: err == nil}
	if err != nil {
		p.Reason = fault.From(err).Description
	}
	r.parts[name] = p
}

// takePeer makes events of what the P2P stub says of a peer connection: its state,
// and then the rest.
func (r *Registry) takePeer(ctx context.Context, at *p2pStub, p *pb.Peer, c channel) {
	e := event{
		kind: reported, remote: p.RemoteRuntimeUrl, stub: p.StubUrl, role: p.Role, replica: at.member.ID,
		state: status.FromProto(p.State), channel: c, reason: p.Reason,
	}
	switch {
	case p.Gone:
		e.kind = gone
	case e.state == status.None:
		return
	}
	err := r.takeNews(ctx, e)
	if err == nil && !p.Gone {
		e.kind, e.news, e.listeners = observed, newsOf(p), p.Listeners
		err = r.takeNews(ctx, e)
	}
	if fault.CodeOf(err) == fault.BadRequest || fault.CodeOf(err) == fault.TooMany {
		r.log.Warn("a peer connection makes no sense here; it is closed", "stub", p.StubUrl, "remote", p.RemoteRuntimeUrl, "error", err)
		r.closePeer(ctx, at, p, "the registry has no place for it")
	}
}

func newsOf(p *pb.Peer) news {
	return news{
		doubt: p.Doubt, worn: p.Worn, flow: p.Flow, generation: p.Generation, object: p.Object,
		roundTrip: max(p.RoundTrip.AsDuration(), 0),
	}
}

func (r *Registry) closePeer(ctx context.Context, at *p2pStub, p *pb.Peer, reason string) {
	req := &pb.P2PStubCloseRequest{StubUrl: p.StubUrl, Reason: reason, Term: r.term()}
	if p.Role == handler {
		req.RemoteRuntimeUrl = p.RemoteRuntimeUrl
	}
	ctx, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	_, err := at.client.Close(ctx, req)
	if r.heed(err) != nil {
		r.log.Debug("a peer connection cannot be closed now", "stub", p.StubUrl, "error", err)
	}
}

// reconcile compares what the table has at a P2P stub with what is really up: after a
// restart of either side, and after a stream that broke.
func (r *Registry) reconcile(ctx context.Context, at *p2pStub, snapshot *pb.P2PStubWatchResponse) {
	peers := map[[2]string]*pb.Peer{}
	for _, p := range snapshot.Peers {
		if !p.Gone {
			peers[[2]string{p.StubUrl, p.RemoteRuntimeUrl}] = p
		}
	}
	for _, c := range r.entries() {
		here, nextHere := c.Replica == at.member.ID, c.Successor.Replica == at.member.ID
		next := peers[[2]string{c.Successor.Stub, c.Remote}]
		if next == nil && nextHere {
			r.missingSuccessor(ctx, c)
		}
		for stub, is := range map[string]bool{c.Stub: here, c.Successor.Stub: nextHere} {
			if is && stub != "" && stub != at.handler {
				r.lanes.spawn(func(context.Context) { _ = r.listenToStub(ctx, stub, requester, at.member.ID) })
			}
		}
		if p := peers[[2]string{c.Stub, c.Remote}]; p != nil {
			r.takePeer(ctx, at, p, inSnapshot)
		} else if here {
			r.missing(ctx, c)
		}
		if next != nil {
			r.takePeer(ctx, at, next, inSnapshot)
		}
	}
	r.adopt(ctx, at, snapshot)
}

// entries gives a copy of the table.
func (r *Registry) entries() []connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]connection, 0, len(r.known.table.byRemote))
	for _, c := range r.known.table.byRemote {
		all = append(all, *c)
	}
	return all
}

// missingSuccessor has another one made later.
func (r *Registry) missingSuccessor(ctx context.Context, c connection) {
	if c.Successor.Stub == "" {
		return
	}
	_ = r.takeNews(ctx, event{
		kind: gone, remote: c.Remote, stub: c.Successor.Stub, role: c.Successor.Role, reason: "the P2P stub does not have it",
	})
}

// missing deals with an entry whose peer connection is not there. A requester
// that has not come far begins again; any other connection is gone.
func (r *Registry) missing(ctx context.Context, c connection) {
	switch {
	case c.Stub == "":
	case c.Role == requester && c.Phase == settingUp:
		r.lanes.put(c.Remote, func(ctx context.Context) {
			if r.isStubOf(c.Remote, c.Stub) {
				r.deployRequester(ctx, c.Remote, effect{stub: c.Stub, replica: c.Replica}, c.Handler)
			}
		})
	default:
		_ = r.takeNews(ctx, event{
			kind: gone, remote: c.Remote, stub: c.Stub, role: c.Role, reason: "the P2P stub was restarted",
		})
	}
}

// adopt takes what is up and not in the table: a live connection becomes an
// entry, a handler's set-up too, and what is left over of a requester is closed.
func (r *Registry) adopt(ctx context.Context, at *p2pStub, snapshot *pb.P2PStubWatchResponse) {
	current := map[string]bool{at.handler: true}
	for _, c := range r.entries() {
		current[c.Stub], current[c.Successor.Stub] = true, true
	}
	adopted := map[string]bool{}
	for _, p := range snapshot.Peers {
		state := status.FromProto(p.State)
		switch {
		case p.Gone || r.isStubOf(p.RemoteRuntimeUrl, p.StubUrl):
		case r.isUnclosed(p):
			r.closePeer(ctx, at, p, "it was closed while the P2P stub was away")
		case r.isElsewhere(p.RemoteRuntimeUrl, at):
			r.closePeer(ctx, at, p, "another P2P stub has the connection by now")
		case state == status.Live:
			r.takePeer(ctx, at, p, inSnapshot)
			adopted[p.StubUrl] = true
		case p.Role == handler && (state == status.Created || state == status.InProgress):
			p.State = pb.ConnectionState_CONNECTION_STATE_CREATED
			r.takePeer(ctx, at, p, inSnapshot)
		}
	}
	for _, stub := range snapshot.Stubs {
		if !current[stub] && !adopted[stub] {
			r.closePeer(ctx, at, &pb.Peer{StubUrl: stub, Role: requester}, "no connection of the table uses it")
		}
	}
}

// peerKey names a peer connection.
type peerKey struct{ stub, remote string }

// toCloseLocked notes what is to be closed, until it is: what a snapshot shows of it
// meanwhile is not taken for something new.
func (r *Registry) toCloseLocked(remote string, effects []effect) {
	for _, e := range effects {
		if e.kind == dispose && !e.beside {
			makeRoom(r.unclosed, peerKey{e.stub, remote}, r.limits.Connections)
			r.unclosed[peerKey{e.stub, remote}] = r.cfg.Now().Add(r.limits.Setup)
		}
	}
}

// isUnclosed tells whether a peer connection is one of those. It is asked for once.
func (r *Registry) isUnclosed(p *pb.Peer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, is := r.unclosed[peerKey{p.StubUrl, p.RemoteRuntimeUrl}]
	delete(r.unclosed, peerKey{p.StubUrl, p.RemoteRuntimeUrl})
	return is && r.cfg.Now().Before(until)
}

// watchNodes follows the sessions with Message Nodes.
func (r *Registry) watchNodes(ctx context.Context) error {
	return r.keepWatching(ctx, "nodestub", func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := r.cfg.NodeStub.Watch(ctx, &pb.NodeStubWatchRequest{})
		if err != nil {
			return err
		}
		for {
			resp, err := stream.Recv()
			if err != nil {
				return err
			}
			r.takeSessions(resp)
		}
	})
}

// takeSessions notes what the Message Node stub has. One that has started anew is
// told again which stubs there should be.
func (r *Registry) takeSessions(resp *pb.NodeStubWatchResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if resp.Snapshot {
		r.partLocked("nodestub", nil)
		clear(r.sessions)
	}
	for _, s := range resp.Sessions {
		r.sessions[s.Domain] = s
		if n := r.nodes[s.Domain]; n == nil && len(r.nodes) < r.limits.Domains {
			done := make(chan struct{})
			close(done)
			r.nodes[s.Domain] = &node{deployed: true, done: done}
		}
	}
	if resp.Snapshot {
		for domain, n := range r.nodes {
			n.lost = n.deployed && r.sessions[domain] == nil
		}
		r.redeployLostLocked(slog.LevelWarn)
	}
	r.oweSubscriptionsLocked(resp)
}

// sessionLive is the state of a session that works, in the words of the Message Node stub.
const sessionLive = "live"

// oweSubscriptionsLocked has everything subscribed again at our own node when that has a
// new session, and when its session is live of which this registry does not know what
// went before.
func (r *Registry) oweSubscriptionsLocked(resp *pb.NodeStubWatchResponse) {
	own := r.known.domain
	r.owing = r.owing || resp.Snapshot
	if slices.Contains(resp.Renewed, own) || r.owing && r.sessions[own].GetState() == sessionLive {
		r.owing = false
		r.renewLater()
	}
}
