package registry

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// act stores an entry, if it keeps what has changed, and then does what the machine
// wants. It runs in the entry's lane. Among replicas each change is stored: that shows
// whether the term is over.
func (r *Registry) act(ctx context.Context, remote string, c connection, keeps bool, effects []effect) {
	var err error
	if keeps || r.several() {
		err = r.save(ctx, remote, c)
	}
	if errors.Is(err, errDeposed) {
		return // another registry acts
	}
	for _, e := range effects {
		switch e.kind {
		case deploy:
			if err != nil && r.cfg.Group != nil { // another registry may not know of it
				r.notDeployed(remote, e, err)
				continue
			}
			r.deployRequester(ctx, remote, e, c.Handler)
		case dispose:
			if e.beside {
				r.lanes.spawn(func(ctx context.Context) { r.drain(ctx, remote, e) })
			} else {
				r.disposeOf(ctx, remote, e)
			}
		case register:
			r.startLink(ctx, remote, e)
		case retire:
			r.endLink(ctx, remote, e.beside)
		case swap:
			r.swapLinks(ctx, remote, e.url)
		case lead:
			r.leadAgain(remote, e)
		case learn:
			r.learn(remote)
		case reroute:
			r.mu.Lock()
			r.rerouteLocked([]string{remote})
			r.mu.Unlock()
		case forget: // save did
		}
	}
}

// save writes an entry. A store that does not take it is reported, and the
// connection goes on: after a restart the P2P stub tells what is up. So it is no trouble
// either when the registry stops in the middle of it.
func (r *Registry) save(ctx context.Context, remote string, c connection) error {
	within, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	var err error
	if c.exists() {
		err = r.store.saveConnection(within, c)
	} else {
		err = r.store.removeConnection(within, remote)
	}
	if err != nil && ctx.Err() == nil {
		r.log.Warn("an entry of the p2pConnection table is not stored", "remote", remote, "error", err)
	}
	return err
}

// savePlacesLocked writes down where addresses are, beside everything else. What the
// store does not take is looked up again after a restart.
func (r *Registry) savePlacesLocked() {
	if r.saving || len(r.known.cache.unsaved) == 0 {
		return
	}
	all := r.known.cache.toSave()
	r.saving = r.lanes.spawn(func(ctx context.Context) {
		for _, p := range all {
			within, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
			err := r.store.savePlace(within, p)
			cancel()
			if err != nil {
				r.log.Debug("a place is not stored", "address", p.Entity, "error", err)
			}
		}
		r.mu.Lock()
		r.saving = false
		r.mu.Unlock()
	})
}

// deployRequester makes the requester stub of a set-up. Its status is listened to
// before it has one, and its address is subscribed at our own node before it can
// invite anyone (wire contract, section 7, step 1). One beside a connection that is
// live replaces it.
func (r *Registry) deployRequester(ctx context.Context, remote string, e effect, handlerURL string) {
	at, err := r.stubAt(e.replica)
	if err == nil {
		err = r.listenToStub(ctx, e.stub, requester, e.replica)
	}
	if err == nil {
		r.lanes.spawn(func(ctx context.Context) { r.subscribeRequester(ctx, remote, e.stub) })
		err = r.deployStub(ctx, at, &pb.P2PStubDeployRequest{
			RuntimeUrl: r.rules.own, StubUrl: e.stub, Role: requester,
			RemoteRuntimeUrl: remote, P2PHandler: handlerURL, Replace: e.beside, Term: r.term(),
		})
	}
	if errors.Is(err, errDeposed) {
		return
	}
	if err != nil {
		r.notDeployed(remote, e, err)
		return
	}
	r.log.Debug("requester deployed", "stub", e.stub, "remote", remote)
}

func (r *Registry) notDeployed(remote string, e effect, err error) {
	_ = r.apply(event{
		kind: gone, remote: remote, stub: e.stub, role: requester,
		reason: "the requester stub cannot be deployed: " + fault.From(err).Description,
	})
}

func (r *Registry) deployStub(ctx context.Context, at *p2pStub, req *pb.P2PStubDeployRequest) error {
	ctx, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	_, err := at.client.Deploy(ctx, req)
	return r.heed(err)
}

// disposeOf closes a stub's peer connection; a requester goes with it, and all
// that was set up for it.
func (r *Registry) disposeOf(ctx context.Context, remote string, e effect) {
	req := &pb.P2PStubCloseRequest{StubUrl: e.stub, Reason: e.reason, Term: r.term()}
	if e.role == handler {
		req.RemoteRuntimeUrl = remote
	}
	err := r.closeStub(ctx, e.replica, req)
	switch {
	case errors.Is(err, errDeposed):
		return // the next one may use it
	case err == nil:
		r.mu.Lock()
		delete(r.unclosed, peerKey{e.stub, remote})
		r.mu.Unlock()
	default:
		// A stub that is away comes back with a Watch, which shows what is too much.
		r.log.Debug("a stub cannot be closed now", "stub", e.stub, "remote", remote, "error", err)
	}
	if e.role == handler {
		return
	}
	r.statuses.close(ctx, r.limits.DeployWait, e.stub)
	r.lanes.spawn(func(ctx context.Context) {
		_, _ = r.request(ctx, r.limits.RequestWait, r.subscription(message.Unsubscribe, e.stub, e.stub))
	})
}

func (r *Registry) closeStub(ctx context.Context, replica string, req *pb.P2PStubCloseRequest) error {
	at, err := r.stubAt(replica)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	_, err = at.client.Close(ctx, req, grpc.WaitForReady(!r.several())) // what is to follow elsewhere does not wait
	return r.heed(err)
}

// drain lets a connection go that has been replaced: nothing leads over it any
// more, and the stub ends it when it is empty. What is left after a while is closed;
// but of a handler, which may have another one with the same runtime by then.
func (r *Registry) drain(ctx context.Context, remote string, e effect) {
	_, err := r.request(ctx, r.limits.RegisterWait, &pb.Message{
		Id: message.StringID(uuid.NewString()), Type: message.Unsubscribe, Source: e.stub,
		From: address.Registry(r.rules.own), To: e.stub,
		Body: message.MarshalBody(map[string]any{"unsubscribe": []string{e.url}, "source": e.stub, "resource": remote}),
	})
	if err != nil {
		r.log.Debug("a stub keeps the address of what was replaced", "stub", e.stub, "error", err)
	}
	if e.role == requester && run.Sleep(ctx, r.limits.Drain) == nil {
		r.disposeOf(ctx, remote, e)
	}
}

// subscription is what the runtime's user agent says to its own Message Node of
// addresses of this runtime (wire contract, sections 5 and 7).
func (r *Registry) subscription(typ, source string, addresses ...string) *pb.Message {
	return &pb.Message{
		Id: message.StringID(uuid.NewString()), Type: typ, Source: source,
		From: address.UserAgent(r.rules.own), To: address.SubscriptionManager(r.known.domain),
		Body: message.MarshalBody(map[string]any{"resources": addresses, "source": source}),
	}
}

// subscribeRequester makes the requester reachable, for as long as it is the
// entry's.
func (r *Registry) subscribeRequester(ctx context.Context, remote, stub string) {
	ctx, cancel := context.WithTimeout(ctx, r.limits.Setup)
	defer cancel()
	wait := retry.Backoff{Min: 100 * time.Millisecond}
	for {
		_, err := r.request(ctx, r.limits.RequestWait, r.subscription(message.Subscribe, stub, stub))
		if err == nil || !r.isStubOf(remote, stub) {
			return
		}
		r.log.Debug("a requester's address cannot be subscribed yet", "stub", stub, "error", err)
		if wait.Wait(ctx) != nil {
			return
		}
	}
}

func (r *Registry) isStubOf(remote, stub string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.known.table.get(remote)
	return c.Stub == stub || c.Successor.Stub == stub
}
