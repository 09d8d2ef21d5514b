package msgnode

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
)

// A NATS without a majority may go on answering what it is asked, and takes no write. So
// where nobody writes a replica does, and whatever any replica writes counts for all:
// a quiet domain has one probe each StoreProbe, however many replicas there are.

// probeKey is never there: a probe is the mark of its removal, which changes nothing for
// replicas of any age.
const probeKey = "probe"

// writes is what is known of whether the bucket takes any. It is pure; store.mu guards it.
type writes struct {
	last    time.Time // when one was known to be taken
	failing time.Time // when the first attempt began of those that have failed since; zero when the last did not
	why     error     // of the last of them
}

// seen notes a write of any replica. What comes through while one's own fail may have
// been written long ago.
func (w *writes) seen(now time.Time) {
	if w.failing.IsZero() {
		w.last = now
	}
}

// tried notes how a write of one's own has ended that began at a time.
func (w *writes) tried(began, now time.Time, err error) {
	switch {
	case err == nil:
		w.last, w.failing, w.why = now, time.Time{}, nil
	case !w.failing.IsZero():
		w.why = err
	case !began.Before(w.last):
		w.failing, w.why = began, err
	}
}

// failed is for how long all have failed; 0 while they do not.
func (w *writes) failed(now time.Time) time.Duration {
	if w.failing.IsZero() {
		return 0
	}
	return now.Sub(w.failing)
}

// keepProbing probes whenever nobody has written for a while, until ctx is done. The
// replicas do not all do so at the same moment.
func (s *store) keepProbing(ctx context.Context) error {
	for ctx.Err() == nil {
		due := s.untilProbe(time.Now())
		if due <= 0 {
			s.probe(ctx)
			due = s.limits.StoreProbe
		}
		_ = wait(ctx, due+rand.N(s.limits.StoreProbe/4+1)) // ctx is looked at
	}
	return nil
}

// untilProbe is how long a write of others is waited for.
func (s *store) untilProbe(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits.StoreProbe - now.Sub(s.writes.last)
}

// probe makes one write that changes nothing.
func (s *store) probe(ctx context.Context) {
	attempt, cancel := context.WithTimeout(ctx, s.limits.StoreAttempt)
	defer cancel()
	began := time.Now()
	err := s.kv.Delete(attempt, probeKey)
	if ctx.Err() == nil {
		s.tried(began, err)
	}
}

// tried notes how a write has ended that began at a time.
func (s *store) tried(began time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes.tried(began, time.Now(), err)
}

// unwritable is for how long the bucket has taken no write; 0 while it does.
func (s *store) unwritable() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes.failed(time.Now())
}

// refusal is why the bucket takes no write, when it says so itself, as one that is full
// does; nil while it does, or when it does not answer.
func (s *store) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes.why == nil || engine.IsPassing(s.writes.why) {
		return nil
	}
	return fault.New(fault.Unavailable, "NATS takes no write of %s: %w", s.kv.Bucket(), s.writes.why)
}
