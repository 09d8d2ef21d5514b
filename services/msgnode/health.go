package msgnode

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// A replica that is cut off from NATS cannot open sessions, and what others send to
// its clients does not come. It keeps them for a while, since NATS is mostly back at
// once. Then it is to be told from a NATS that has no quorum, which is the same for all
// replicas: there the others can still be reached, and the sockets are of use.

// untilCutOff returns when this replica is cut off, or ctx is done.
func (n *Node) untilCutOff(ctx context.Context) {
	n.every(ctx, func() bool { return n.isCutOff(ctx) })
	if ctx.Err() == nil {
		n.log.Warn("this replica is cut off from NATS and from all others: its clients are sent away", "replica", n.replica)
	}
}

// untilBack returns when this replica is not cut off any more, or ctx is done.
func (n *Node) untilBack(ctx context.Context) {
	n.every(ctx, func() bool { return !n.isCutOff(ctx) })
}

// every looks at a condition again and again, until it holds or ctx is done.
func (n *Node) every(ctx context.Context, holds func() bool) {
	tick := time.NewTicker(n.limits.StoreCheck)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// isCutOff tells whether the store is away and no other replica answers, though there
// were some.
func (n *Node) isCutOff(ctx context.Context) bool {
	if !n.isStoreAway() {
		return false
	}
	others := n.otherReplicas()
	if n.engine.Conn().IsConnected() {
		for _, r := range others {
			if n.ask(ctx, r) == nil {
				return false
			}
		}
	}
	return len(others) > 0 && ctx.Err() == nil
}

// isStoreAway tells whether a store has not been reached for StoreAway.
func (n *Node) isStoreAway() bool { return n.storeAway() >= n.limits.StoreAway }

// storeAway is for how long a store's copy has not been known to have all; 0 before
// there is one.
func (n *Node) storeAway() time.Duration {
	if !n.opened.Load() {
		return 0
	}
	return max(n.state.away(), n.registry.away())
}

// unwritable is for how long a store has taken no write; 0 while both do.
func (n *Node) unwritable() time.Duration {
	if !n.opened.Load() {
		return 0
	}
	return max(n.state.unwritable(), n.registry.unwritable())
}

// otherReplicas gives those that have sessions.
func (n *Node) otherReplicas() []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	seen := map[string]bool{"": true, n.replica: true}
	var others []string
	for _, s := range n.directory.sessions {
		if r := s.replica(); !seen[r] {
			seen[r] = true
			others = append(others, r)
		}
	}
	return others
}

// serveReady answers 200 when sessions can be opened here.
func (n *Node) serveReady(w http.ResponseWriter, _ *http.Request) {
	if err := n.Health(); err != nil {
		http.Error(w, fault.From(err).Description, http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // the client may be gone
}

// Health says why no sessions can be opened here; nil when they can.
func (n *Node) Health() error {
	why := n.whyDown()
	switch {
	case why != nil:
		return why
	case n.engine.Broken() != nil:
		return n.engine.Broken()
	case n.isStoreAway():
		return n.storeless(n.storeAway())
	case n.unwritable() >= n.limits.StoreUnwritable:
		return n.storeless(n.unwritable())
	}
	return nil
}

// storeless says why no session can be opened, and for how long.
func (n *Node) storeless(since time.Duration) error {
	why := n.engine.Lacks()
	if refusal := cmp.Or(n.state.refusal(), n.registry.refusal()); refusal != nil {
		why = refusal.Error()
	}
	return fault.New(fault.Unavailable, "%s; no session can be opened, for %s now", why, since.Round(time.Second))
}

// tellReady says so when no sessions can be opened here, and when they can be again,
// until ctx is done.
func (n *Node) tellReady(ctx context.Context) error {
	if n.Ready(ctx) != nil {
		return nil
	}
	n.onReady(true)
	for ctx.Err() == nil {
		var why error
		n.every(ctx, func() bool { why = n.Health(); return why != nil })
		if ctx.Err() != nil {
			break
		}
		n.onReady(false)
		n.log.Warn("not ready", "replica", n.replica, "error", why)
		n.every(ctx, func() bool { return n.Health() == nil })
		if ctx.Err() == nil {
			n.onReady(true)
			n.log.Info("ready again", "replica", n.replica)
		}
	}
	return nil
}

func (n *Node) onReady(ready bool) {
	if n.cfg.OnReady != nil {
		n.cfg.OnReady(ready)
	}
}

// serveHealth answers 200: the process lives.
func serveHealth(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n")) // the client may be gone
}
