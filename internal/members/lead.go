package members

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/fault"
)

// errLost: another member leads, or it cannot be known.
var errLost = errors.New("leads no more")

// Lead waits until this member leads its kind, and runs lead, whose context is
// cancelled when it leads no more; then it waits again, until ctx is done. The
// leadership is given up when lead has returned, so that the next leader begins
// after it; but where this member was cut off for long, the next may have begun.
// An error of lead ends Lead, and is returned.
func (g *Group) Lead(ctx context.Context, lead func(context.Context) error) error {
	for ctx.Err() == nil {
		revision, err := g.win(ctx)
		if err != nil {
			return nil // ctx is done, or Run has ended
		}
		g.log.Info("this replica leads", "kind", g.Self().Kind)
		if err := g.reign(ctx, revision, lead); err != nil {
			return err
		}
		g.log.Info("this replica leads no more", "kind", g.Self().Kind)
	}
	return nil
}

// win waits until the kind has no leader and this member becomes it. The error says
// that the wait is over.
func (g *Group) win(ctx context.Context) (revision uint64, err error) {
	for {
		g.mu.Lock()
		ready, changed := g.ready(), g.changed
		_, taken := g.view.leader(g.self.Kind)
		g.mu.Unlock()
		if ready && !taken {
			if revision, err := g.claim(ctx, 0); err == nil {
				return revision, nil
			}
			// Someone else was faster, or the store is away: the next change tells,
			// or the next try.
			retry, cancel := context.WithTimeout(ctx, g.limits.Beat)
			over := !g.await(retry, changed) && ctx.Err() != nil
			cancel()
			if over || g.ended() {
				return 0, errLost
			}
			continue
		}
		if !g.await(ctx, changed) {
			return 0, errLost
		}
	}
}

func (g *Group) ended() bool {
	select {
	case <-g.gone:
		return true
	default:
		return false
	}
}

// claim writes the leader's key, if it has the given revision; 0 for none.
func (g *Group) claim(ctx context.Context, revision uint64) (uint64, error) {
	self := g.Self()
	value, err := json.Marshal(self)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.limits.Write)
	defer cancel()
	var next uint64
	if revision == 0 {
		next, err = g.kv.Create(ctx, leadKey(self.Kind), value)
	} else {
		next, err = g.kv.Update(ctx, leadKey(self.Kind), value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		found, lost := g.mine(ctx, self)
		if lost != nil || found != revision {
			return found, lost
		}
		// A server without a majority has the write, and cannot do it. What it is asked
		// says no more than that nobody has taken over as far as it knows.
	}
	return next, err
}

// mine gives the revision of the leader's key if it has this member all the same: a
// write whose answer was lost.
func (g *Group) mine(ctx context.Context, self Member) (uint64, error) {
	e, err := g.kv.Get(ctx, leadKey(self.Kind))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, errLost
	}
	if err != nil {
		return 0, err
	}
	var has Member
	if err := json.Unmarshal(e.Value(), &has); err != nil || has.ID != self.ID {
		return 0, errLost
	}
	return e.Revision(), nil
}

// reign runs lead while this member leads.
func (g *Group) reign(ctx context.Context, revision uint64, lead func(context.Context) error) error {
	leading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan error, 1)
	go func() { done <- lead(leading) }()
	tick := time.NewTicker(g.limits.Beat)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case err := <-done:
			g.giveUp(revision)
			if ctx.Err() != nil || leading.Err() != nil {
				return nil
			}
			return err
		case <-tick.C:
		}
		if leading.Err() != nil {
			continue // lead is on its way out
		}
		next, err := g.claim(ctx, revision)
		switch {
		case err == nil:
			revision, renewed = next, time.Now()
		case errors.Is(err, errLost), time.Since(renewed) > g.limits.Unrenewed:
			g.log.Warn("the leadership is lost", "kind", g.Self().Kind, "error", err)
			stop(fault.New(fault.Unavailable, "this replica leads no more"))
		}
	}
}

// giveUp removes the leader's key, if it is still this member's.
func (g *Group) giveUp(revision uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), g.limits.Write)
	defer cancel()
	err := g.release(ctx, revision)
	if err != nil { // a renewal may have been written whose answer was not waited for
		if revision, lost := g.mine(ctx, g.Self()); lost == nil {
			err = g.release(ctx, revision)
		}
	}
	if err != nil {
		g.log.Debug("the leader's key was not removed", "error", err)
	}
}

func (g *Group) release(ctx context.Context, revision uint64) error {
	return g.kv.Purge(ctx, leadKey(g.Self().Kind), jetstream.LastRevision(revision), jetstream.PurgeTTL(markerFor))
}
