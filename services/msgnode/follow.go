package msgnode

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/run"
)

// How a store's copy stays what the bucket is, through the loss of any server of NATS:
//
//	watch ──► take ──► seen ◄── compared with the bucket's last revision, every StoreCheck
//	  ▲                          │            │              │
//	  │ ended                    │ behind     │ equal:       │ ahead, or the copy was
//	  └─ from applied + 1 ◄──────┘ twice      │ fresh        │ away for too long: it is
//	                ▲                         │              │ not this bucket's any more
//	                └── a write is not seen within StoreLag
//
// A watch that lives on a server which is lost does not say so for many seconds; writes
// and the comparison find it at once, and the comparison a bucket that does not answer.
// One that answers and takes no write is found by a probe (probe.go).

// doubtedLooks is how many looks in a row must find less in the bucket than there is here,
// before that is believed: a cluster that has just come back may know less for a moment.
const doubtedLooks = 10

// follow applies changes until ctx is done. It calls ready when all that was
// there has been applied. The error tells that the copy cannot be made right any more.
func (s *store) follow(ctx context.Context, ready func()) error {
	parts := []run.Func{func(ctx context.Context) error { return s.keepWatching(ctx, ready) }, s.keepChecking}
	if s.engine.IsElsewhere() {
		parts = append(parts, s.keepProbing)
	}
	return run.All(ctx, parts...)
}

// keepWatching watches again whenever a watch ends.
func (s *store) keepWatching(ctx context.Context, ready func()) error {
	level := slog.LevelInfo // of the first in a row; a NATS without a majority has many
	for {
		began := time.Now()
		err := s.watch(ctx, ready)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > s.limits.StoreCheck {
			level = slog.LevelInfo
		}
		s.log.Log(ctx, level, "the store is watched anew", "bucket", s.kv.Bucket(), "reason", err)
		level = slog.LevelDebug
		if wait(ctx, retryEvery) != nil {
			return nil
		}
	}
}

// watch applies changes, from what has been applied so far, until the watch ends or is
// found to have stalled.
func (s *store) watch(ctx context.Context, ready func()) error {
	last, err := s.lastRevision(ctx)
	if err != nil {
		return err
	}
	var opts []jetstream.WatchOpt
	if applied := s.lastApplied(); applied > 0 {
		opts = append(opts, jetstream.ResumeFromRevision(applied+1))
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	w, err := s.kv.WatchAll(watching, opts...)
	if err != nil {
		return fault.New(fault.Unavailable, "watching %s: %w", s.kv.Bucket(), err)
	}
	defer s.drain(w)
	defer stop() // and waits for no answer, as Stop does: a bucket without a leader gives none
	watch := s.watches.Add(1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case stalled := <-s.stalled:
			if stalled != watch {
				continue // that was the one before
			}
			return fault.New(fault.Unavailable, "the watch has stalled")
		case e, ok := <-w.Updates():
			switch {
			case !ok && ctx.Err() != nil:
				return nil
			case !ok:
				return fault.New(fault.Unavailable, "the watch has ended")
			case e == nil:
				s.advance(last)
				s.isFresh()
				ready()
			default:
				s.take(e)
			}
		}
	}
}

// drain takes what a watch that was stopped is about to give: it would wait for ever.
func (s *store) drain(w jetstream.KeyWatcher) {
	late := time.NewTimer(s.limits.StoreAttempt)
	defer late.Stop()
	for {
		select {
		case _, ok := <-w.Updates():
			if !ok {
				return
			}
		case <-late.C:
			return
		}
	}
}

// keepChecking compares the copy with the bucket until ctx is done.
func (s *store) keepChecking(ctx context.Context) error {
	tick := time.NewTicker(s.limits.StoreCheck)
	defer tick.Stop()
	var c comparison
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		watch := s.watches.Load()
		last, err := s.look(ctx)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if s.away() > markerKept/2 {
			return fault.New(fault.Unavailable, "bucket %s could not be reached for so long that removals may be missed: start again", s.kv.Bucket())
		}
		switch c.next(watch, s.lastSeen(), last) {
		case copyFresh:
			s.isFresh()
		case copyStalled:
			s.stall(watch)
		case copyForeign:
			return fault.New(fault.Unavailable, "bucket %s was made anew, or lost what it had: start again with what it has", s.kv.Bucket())
		}
	}
}

// comparison is what is known from the last looks at a bucket. It is pure.
type comparison struct {
	watch  uint64 // the one that there was at the last look
	behind uint64 // a revision that was there at the last look, and not here
	doubts int    // looks in a row that found less there than here
}

// verdict on a copy.
type verdict int

const (
	copyFresh   verdict = iota // it has all
	copyBehind                 // something is on its way here
	copyStalled                // nothing is on its way any more
	copyForeign                // it is of another bucket
)

// next compares the last revision that is here with the last that is there.
func (c *comparison) next(watch, seen, last uint64) verdict {
	behind := c.behind
	if watch != c.watch {
		behind = 0 // a new watch has its time
	}
	c.watch, c.behind = watch, 0
	if last < seen {
		if c.doubts++; c.doubts >= doubtedLooks {
			return copyForeign
		}
		return copyBehind
	}
	c.doubts = 0
	switch {
	case last == seen:
		return copyFresh
	case behind > seen:
		return copyStalled
	}
	c.behind = last
	return copyBehind
}

// stall says that a watch is of no use.
func (s *store) stall(watch uint64) {
	select {
	case s.stalled <- watch:
	default: // another watch is on its way already
	}
}

// look asks for the last revision once.
func (s *store) look(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.StoreAttempt)
	defer cancel()
	status, err := s.kv.Status(ctx)
	if err != nil {
		return 0, err
	}
	return revisionOf(status)
}

// isFresh notes that the copy has all that the bucket has.
func (s *store) isFresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freshAt = time.Now()
}

func (s *store) lastSeen() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// lastApplied is where a watch goes on. It may be less than what is seen: a server that
// lags behind ends the first part of a watch before it has all of it.
func (s *store) lastApplied() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied
}

// away is for how long the copy has not been known to have all.
func (s *store) away() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freshAt.IsZero() {
		return time.Since(s.madeAt)
	}
	return time.Since(s.freshAt)
}
