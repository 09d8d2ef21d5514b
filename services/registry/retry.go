package registry

import (
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/peerbus/peerbus/protocol/address"
)

// retryLocked makes the attempts that are due without a message. While the P2P
// stub is away there are none.
func (r *Registry) retryLocked(now time.Time) {
	if !r.anyStubLocked() {
		return
	}
	lost, worn := r.known.table.attempts(now, r.known.wants, r.limits)
	for _, remote := range lost {
		r.attemptLocked(remote, now)
	}
	for _, remote := range worn {
		r.replaceLocked(remote, now)
	}
}

// attemptLocked tries to set up what was lost.
func (r *Registry) attemptLocked(remote string, now time.Time) {
	stub, asked := r.handlerLocked(remote, now)
	switch {
	case stub != "":
		r.metrics.attempts.WithLabelValues(attemptLost).Inc()
		_ = r.setUpLocked(remote, stub, "") // refused events are logged there
	case !asked:
		_ = r.applyLocked(event{kind: postponed, remote: remote, reason: "its handler stub is not known"})
	}
}

// replaceLocked has a worn connection replaced. Where the handler stub of the other
// side cannot be found, that one must do it.
func (r *Registry) replaceLocked(remote string, now time.Time) {
	stub, _ := r.handlerLocked(remote, now)
	at := r.p2p[r.known.table.byRemote[remote].Replica]
	if stub == "" || at == nil || !at.usable() {
		return
	}
	r.metrics.attempts.WithLabelValues(attemptWorn).Inc()
	_ = r.applyLocked(event{
		kind: renewed, remote: remote, role: requester, handler: stub, replica: at.member.ID,
		stub: address.Requester(r.rules.own, uuid.NewString()),
	})
}

// handlerLocked gives the handler stub of a remote runtime. Where it is not known,
// an address of that runtime is looked up, whose entry names it: asked, and to be
// called again.
func (r *Registry) handlerLocked(remote string, now time.Time) (stub string, asked bool) {
	if stub := r.known.handlerIn(remote); stub != "" {
		return stub, false
	}
	e := r.known.oneIn(remote)
	if e == "" {
		return "", false
	}
	if _, fresh := r.known.cache.get(e, now); fresh {
		return "", false
	}
	return "", r.lookUpLocked(e, false, false) != nil
}

// handlerIn is the handler stub of a remote runtime; "" when it is not known.
func (k *knowledge) handlerIn(remote string) string {
	if stub := k.table.get(remote).Handler; stub != "" {
		return stub
	}
	return k.cache.handlers[remote]
}

// oneIn is an address of a remote runtime that it has a connection for, or had; "" when none is known.
func (k *knowledge) oneIn(remote string) string {
	if e := k.table.get(remote).For; e != "" {
		return e
	}
	if listed := k.table.listings.all(remote); len(listed) > 0 {
		return listed[rand.IntN(len(listed))]
	}
	return ""
}
