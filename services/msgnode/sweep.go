package msgnode

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// errNotDue: an entry was refreshed between the look and the write.
var errNotDue = errors.New("not due any more")

// sweepOn looks after what time brings about, until ctx is done. Every replica
// does; whoever writes a change first has made it.
func (n *Node) sweepOn(ctx context.Context) error {
	if n.Ready(ctx) != nil {
		return nil
	}
	tick := time.NewTicker(n.limits.SweepEvery)
	defer tick.Stop()
	for {
		n.sweep(ctx)
		select {
		case <-tick.C:
		case <-n.sweeping:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Node) wakeSweeper() { signal(n.sweeping) }

// sweep does all that is due. What fails is due again the next time.
func (n *Node) sweep(ctx context.Context) {
	now := n.now()
	n.sweepFails.Store(false)
	n.mu.Lock()
	n.pace.forget(now)
	n.mu.Unlock()
	n.sweepSessions(ctx, n.claims(now)) // at once: what follows may take its time
	n.sweepSessions(ctx, n.dueSessions(ctx, now))
	n.sweepOrphans(ctx)
	n.sweepEntries(ctx, now)
	failing := n.sweepFails.Load()
	if n.sweepFailing.Swap(failing) && !failing {
		n.log.Info("what was due is noted again")
	}
}

// sweepFailed notes that something that is due could not be written. It gives the level at
// which to say so: the first of the sweeps in a row that fail is for people.
func (n *Node) sweepFailed() slog.Level {
	n.sweepFails.Store(true)
	if n.sweepFailing.Load() {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// dueSessions gives an event for every session that needs one.
func (n *Node) dueSessions(ctx context.Context, now time.Time) []event {
	gone := n.goneReplicas(ctx)
	n.mu.RLock()
	defer n.mu.RUnlock()
	var due []event
	for _, s := range n.directory.sessions {
		e := event{runtime: s.Runtime, replica: s.replica(), socket: s.Socket, now: now, kept: n.limits.SessionKept}
		switch {
		case s.Socket == "":
			e.kind = evExpire
		case gone[e.replica]:
			e.kind = evGone
		case e.replica == n.replica && n.sockets[s.Socket] == nil:
			e.kind = evLost // its end could not be noted
		default:
			continue
		}
		if _, out := next(s, e); out != outNothing {
			due = append(due, e)
		}
	}
	return due
}

// claims are for sockets here whose session is at none: another replica took it for lost,
// when it could not reach this one. A socket that was replaced stays idle, unless the newer
// one is lost for long: of several the latest has the session back, as its client is there
// and knows of nothing.
func (n *Node) claims(now time.Time) []event {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var due []event
	for id, s := range n.sockets {
		have := n.directory.sessions[s.session.Runtime]
		if s.session.Token == "" || have.Token != s.session.Token || have.Socket != "" {
			continue
		}
		if !s.replaced || now.Sub(time.UnixMilli(have.LostAt)) >= n.limits.ReplacedWait {
			due = append(due, event{kind: evClaim, runtime: have.Runtime, socket: id, given: have.Token, flow: s.session.Flow})
		}
	}
	slices.SortFunc(due, func(a, b event) int { // the latest first: their numbers rise
		return cmp.Or(cmp.Compare(len(b.socket), len(a.socket)), cmp.Compare(b.socket, a.socket))
	})
	return due
}

// goneReplicas asks the other replicas that have sessions whether they are there, and
// gives those that were not for ReplicaGrace. Others that are not are asked again when
// that is over.
func (n *Node) goneReplicas(ctx context.Context) map[string]bool {
	gone, silent := map[string]bool{}, map[string]time.Time{}
	for _, r := range n.otherReplicas() {
		if n.isThere(ctx, r) {
			continue
		}
		n.mu.RLock()
		since, known := n.silent[r]
		n.mu.RUnlock()
		if !known {
			since = time.Now()
			time.AfterFunc(n.limits.ReplicaGrace, n.wakeSweeper)
		}
		silent[r] = since
		gone[r] = time.Since(since) >= n.limits.ReplicaGrace
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = silent
	return gone
}

func (n *Node) sweepSessions(ctx context.Context, due []event) {
	for _, e := range due {
		ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
		_, out, err := n.change(ctx, e)
		cancel()
		switch {
		case err != nil:
			n.log.Log(ctx, n.sweepFailed(), "a session's change is not noted yet", "runtime", e.runtime, "error", err)
			return // the store is the same for all of them
		case out == outNothing: // another was first
		case e.kind == evClaim:
			n.resume(e.socket)
		default:
			n.log.Debug("session "+string(out), "runtime", e.runtime)
		}
	}
}

// resume lets the messages of others out again on a socket.
func (n *Node) resume(socket string) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if s := n.sockets[socket]; s != nil {
		s.queue.goLive()
	}
}

// sweepOrphans removes the addresses of sessions that are gone, which an
// interrupted close has left.
func (n *Node) sweepOrphans(ctx context.Context) {
	n.mu.RLock()
	orphans := n.directory.orphans()
	n.mu.RUnlock()
	for key, token := range orphans {
		ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
		err := n.dropHold(ctx, key, token)
		cancel()
		if err != nil {
			n.log.Log(ctx, n.sweepFailed(), "an address of a session that is gone is still there", "error", err)
			return
		}
	}
}

// sweepEntries disconnects entries that were not refreshed, and removes those
// that have been disconnected long enough.
func (n *Node) sweepEntries(ctx context.Context, now time.Time) {
	for _, url := range n.dueEntries(now) {
		ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
		err := n.changeEntry(ctx, Session{}, url, func(e Entry, _ bool, _ int) (Entry, error) {
			switch { // again: it may have been refreshed meanwhile
			case e.isDue(now):
				return e.disconnected(now), nil
			case e.isOver(now, n.limits.EntryRetention):
				return Entry{}, nil
			default:
				return e, errNotDue
			}
		})
		cancel()
		if err != nil && !errors.Is(err, errNotDue) {
			n.log.Log(ctx, n.sweepFailed(), "an entry's expiry is not noted yet", "address", url, "error", err)
			return
		}
	}
}

func (n *Node) dueEntries(now time.Time) []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.index.overdue(now)
}
