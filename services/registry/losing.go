package registry

import (
	"context"

	"github.com/peerbus/peerbus/internal/run"
)

// What a P2P stub has that is away, lost or leaving.

// loseSight has messages take the Message Node while a P2P stub is away. It tells
// whether that one could be seen.
func (r *Registry) loseSight(p *p2pStub) bool {
	r.mu.Lock()
	seen := p.seen
	p.seen = false
	r.mu.Unlock()
	for _, c := range r.entries() {
		if c.Replica == p.member.ID {
			_ = r.apply(event{kind: unseen, remote: c.Remote})
		}
	}
	return seen
}

// awaitFirst loses a replica that is there, but cannot be reached since this registry
// leads: what it had under the one before would wait for it in vain.
func (r *Registry) awaitFirst(ctx context.Context, p *p2pStub) {
	if run.Sleep(ctx, r.limits.DeployWait) != nil {
		return
	}
	r.mu.Lock()
	met := p.met
	r.mu.Unlock()
	if !met {
		r.loseAll(p, "its p2pstub cannot be reached")
	}
}

// abandon has what a replica has that is told to stop set up at others.
func (r *Registry) abandon(p *p2pStub) {
	r.mu.Lock()
	was := p.leaving
	p.leaving = true
	r.mu.Unlock()
	if !was {
		r.log.Info("a P2P stub leaves; its connections are set up at others", "addr", p.member.Addr)
	}
	r.loseAll(p, "its p2pstub stops")
}

// loseAll ends what a replica has.
func (r *Registry) loseAll(p *p2pStub, reason string) {
	for _, c := range r.entries() {
		r.loseAt(c, func(replica string) bool { return replica == p.member.ID }, reason)
	}
	r.tryAgain()
}

// loseOrphans ends what is at replicas that are gone.
func (r *Registry) loseOrphans() {
	r.mu.Lock()
	gone := map[string]bool{}
	for _, c := range r.known.table.byRemote {
		for _, replica := range []string{c.Replica, c.Successor.Replica} {
			gone[replica] = r.p2p[replica] == nil
		}
	}
	r.mu.Unlock()
	for _, c := range r.entries() {
		r.loseAt(c, func(replica string) bool { return gone[replica] }, "its p2pstub is gone")
	}
	r.tryAgain()
}

// loseAt ends what of an entry is at some replicas: what is to follow first, so that
// it does not take over.
func (r *Registry) loseAt(c connection, meant func(replica string) bool, reason string) {
	e := event{kind: gone, remote: c.Remote, reason: reason, lost: true}
	if n := c.Successor; n.Stub != "" && meant(n.Replica) {
		e.stub, e.role = n.Stub, n.Role
		_ = r.apply(e)
	}
	if c.Stub != "" && meant(c.Replica) {
		e.stub, e.role = c.Stub, c.Role
		_ = r.apply(e)
	}
}

// tryAgain makes the attempts that are due, without waiting for the tick.
func (r *Registry) tryAgain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retryLocked(r.cfg.Now())
}
