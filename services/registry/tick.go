package registry

import (
	"context"
	"log/slog"
	"time"
)

// tickAlong looks at what time alone brings about.
func (r *Registry) tickAlong(ctx context.Context) error { return every(ctx, r.limits.Tick, r.tick) }

// every does something in an interval, until ctx is done.
func every(ctx context.Context, interval time.Duration, do func()) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			do()
		case <-ctx.Done():
			return nil
		}
	}
}

// tick applies what is due. Routes whose reason has run out are taken back, so
// that the next message asks again: that starts another attempt where none is made
// without one.
func (r *Registry) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	for _, e := range r.known.table.due(now, r.limits) {
		_ = r.applyLocked(e) // refused events are logged there
	}
	r.retryLocked(now)
	r.forgetOldLocked(now)
	again := r.known.cache.expire(now, r.isToldLocked)
	for _, e := range again {
		listings := &r.known.table.listings
		if !listings.isAssociated(e) {
			continue
		}
		// A live connection keeps it until the look-up says otherwise.
		remote := listings.of(e).url()
		if c := r.known.table.get(remote); !c.usable() || r.lookUpLocked(e, false, false) == nil {
			listings.remove(remote, e)
		}
	}
	for remote, c := range r.known.table.byRemote {
		if !c.NextAttempt.IsZero() && !now.Before(c.NextAttempt) && !c.retryTold {
			c.retryTold = true
			again = append(again, remote)
		}
	}
	r.stalePeersLocked(again)
	r.rerouteLocked(again)
	r.deployWantedLocked()
	r.redeployLostLocked(slog.LevelDebug) // the snapshot has warned already
	r.savePlacesLocked()
}
