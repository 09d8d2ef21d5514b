package registry

import (
	"context"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/retry"
)

// Which P2P stub gets what.

// placeLocked gives the replica for what is to be set up with a remote runtime: the
// one that has something with it, or its owner.
func (r *Registry) placeLocked(remote string) (*p2pStub, error) {
	if !r.several() {
		return r.p2p[""], nil
	}
	c := r.known.table.get(remote)
	if p := r.p2p[c.Replica]; c.Stub != "" && p != nil && p.usable() {
		return p, nil
	}
	if p := r.p2p[r.invited[remote].replica]; p != nil && p.usable() {
		return p, nil
	}
	var usable []members.Member
	for _, p := range r.p2p {
		if p.usable() {
			usable = append(usable, p.member)
		}
	}
	owner, ok := members.Owner(usable, remote)
	if !ok {
		return nil, fault.New(fault.Unavailable, "no p2pstub can be seen now")
	}
	return r.p2p[owner.ID], nil
}

// isElsewhere tells whether a remote runtime has a connection at another replica, which
// was set up while this one was away.
func (r *Registry) isElsewhere(remote string, at *p2pStub) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.known.table.get(remote)
	return c.usable() && c.Replica != at.member.ID
}

// anyStubLocked tells whether a set-up can be made now.
func (r *Registry) anyStubLocked() bool {
	for _, p := range r.p2p {
		if p.usable() {
			return true
		}
	}
	return false
}

func (r *Registry) stubAt(replica string) (*p2pStub, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.p2p[replica]; p != nil {
		return p, nil
	}
	return nil, fault.New(fault.Unavailable, "its p2pstub is gone")
}

// term is the number that the P2P stubs are told; 0 where there is one registry.
func (r *Registry) term() uint64 {
	if r.cfg.Group == nil {
		return 0
	}
	return r.store.number
}

// heed takes the answer of a P2P stub. One that knows of a newer term tells that this
// registry leads no more.
func (r *Registry) heed(err error) error {
	if f := fault.From(err); err != nil && f.Code == fault.Conflict && f.Field == "term" {
		r.depose()
		return errDeposed
	}
	return err
}

// deployHandler makes a replica's handler stub, as long as that is the same.
func (r *Registry) deployHandler(ctx context.Context, p *p2pStub) {
	req := &pb.P2PStubDeployRequest{RuntimeUrl: r.rules.own, StubUrl: p.handler, Role: handler, Term: r.term()}
	if p.handler != r.handler {
		req.PublicUrl = r.handler
	}
	var wait retry.Backoff
	for {
		err := r.listenToStub(ctx, p.handler, handler, p.member.ID)
		if err == nil {
			err = r.deployStub(ctx, p, req)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		r.log.Warn("the P2P handler stub is not deployed yet", "error", err)
		if wait.Wait(ctx) != nil {
			return
		}
	}
}
