package msgnode

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
)

// markerKept is how long the store remembers that a key is gone, for replicas
// that were cut off meanwhile.
const markerKept = time.Hour

// retryEvery is the pause before what failed in passing is tried again.
const retryEvery = 100 * time.Millisecond

// errConflict: someone else wrote the key. Look again, and decide again.
var errConflict = errors.New("written by another meanwhile")

// store is a key-value bucket that is read from memory: a watcher (follow.go) applies
// every change of any replica in the order of its revisions, and a write returns once
// it has been applied here. What the bucket cannot do now, because its leader is lost
// or it has no quorum, is tried again as long as the caller waits. All methods may be
// called at the same time.
type store struct {
	kv     jetstream.KeyValue
	engine *engine.Engine
	limits *Limits
	log    *slog.Logger
	// apply is called by one goroutine; a nil value means that the key is gone.
	apply   func(key string, value []byte)
	watches atomic.Uint64 // the number of the watch that there is
	stalled chan uint64   // the number of a watch that is of no use; holds one
	madeAt  time.Time

	mu      sync.Mutex
	revs    map[string]uint64 // of the keys that are there
	seen    uint64            // last revision that is known to be applied, or gone
	applied uint64            // last revision that a watch has brought
	changed chan struct{}     // closed at the next change, while someone waits
	freshAt time.Time         // when the copy was last known to have all; zero until it has
	writes  writes
}

func openStore(ctx context.Context, n *Node, bucket string, apply func(key string, value []byte)) (*store, error) {
	kv, err := n.engine.Bucket(ctx, jetstream.KeyValueConfig{Bucket: bucket, LimitMarkerTTL: markerKept})
	if err != nil {
		return nil, err
	}
	return &store{
		kv: kv, engine: n.engine, limits: &n.limits, log: n.log, apply: apply, stalled: make(chan uint64, 1), madeAt: time.Now(),
		revs: map[string]uint64{}, writes: writes{last: time.Now()},
	}, nil
}

// take applies one change, and then lets those see it who wait for it.
func (s *store) take(e jetstream.KeyValueEntry) {
	key, there := e.Key(), e.Operation() == jetstream.KeyValuePut
	if there {
		s.apply(key, e.Value())
	} else {
		s.apply(key, nil)
	}
	s.mu.Lock()
	if there {
		s.revs[key] = e.Revision()
	} else {
		delete(s.revs, key)
	}
	s.applied = max(s.applied, e.Revision())
	s.writes.seen(time.Now())
	s.mu.Unlock()
	s.advance(e.Revision())
}

func (s *store) advance(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = max(s.seen, revision)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// revision of a key; 0 when it is not there.
func (s *store) revision(key string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revs[key]
}

// put writes a key that has the given revision; 0 for one that is not there. It
// returns once the write is applied, or errConflict once the other's is.
func (s *store) put(ctx context.Context, key string, value []byte, revision uint64) error {
	var written uint64
	err := s.write(ctx, func(ctx context.Context) (err error) {
		if revision == 0 {
			written, err = s.kv.Create(ctx, key, value)
		} else {
			written, err = s.kv.Update(ctx, key, value, revision)
		}
		return err
	})
	if err != nil {
		return s.failed(ctx, key, revision, err)
	}
	s.tried(time.Now(), nil)
	return s.awaitOwn(ctx, func() bool { return s.seen >= written })
}

// remove takes a key away that has the given revision.
func (s *store) remove(ctx context.Context, key string, revision uint64) error {
	err := s.write(ctx, func(ctx context.Context) error {
		return s.kv.Purge(ctx, key, jetstream.LastRevision(revision), jetstream.PurgeTTL(markerKept))
	})
	if err != nil {
		return s.failed(ctx, key, revision, err)
	}
	s.tried(time.Now(), nil)
	return s.awaitOwn(ctx, func() bool { return s.revs[key] != revision })
}

func (s *store) failed(ctx context.Context, key string, revision uint64, err error) error {
	if errors.As(err, new(*fault.Error)) {
		return err // refused here
	}
	if !errors.Is(err, jetstream.ErrKeyExists) && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return s.engine.Unable(err)
	}
	if err := s.awaitOwn(ctx, func() bool { return s.revs[key] != revision }); err != nil {
		return err
	}
	return errConflict
}

// awaitOwn waits until a write that is in the bucket is here. A watch that does not
// bring it within StoreLag has stalled.
func (s *store) awaitOwn(ctx context.Context, ok func() bool) error {
	watch := s.watches.Load()
	late := time.AfterFunc(s.limits.StoreLag, func() { s.stall(watch) })
	defer late.Stop()
	return s.await(ctx, ok)
}

// insist tries again what fails in passing, until it is done or ctx is. A write that
// was done though its answer is lost fails as a conflict the next time, upon which its
// caller finds it done.
func (s *store) insist(ctx context.Context, do func(context.Context) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, s.limits.StoreAttempt)
		err := do(attempt)
		cancel()
		if err == nil || !engine.IsPassing(err) || wait(ctx, retryEvery) != nil {
			return err
		}
	}
}

// write does one write as insist does, but no longer than others have failed already, and
// until the store breaks.
func (s *store) write(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := s.engine.UntilBroken(ctx)
	defer cancel()
	return s.insist(ctx, func(attempt context.Context) error {
		if err := s.unwilling(); err != nil {
			return err
		}
		if left := s.limits.StorePatience - s.unwritable(); left > 0 {
			var cancel context.CancelFunc
			attempt, cancel = context.WithTimeout(attempt, left)
			defer cancel()
		}
		began := time.Now()
		err := do(attempt)
		if err != nil && engine.IsPassing(err) && ctx.Err() == nil && s.engine.IsElsewhere() {
			s.tried(began, err)
		}
		return err
	})
}

// unwilling refuses what would only wait, and hold up what its session sends next: no
// write has been taken for so long. It ends when a probe is, or a write under way. A bucket
// that says itself why it takes none is asked: it answers at once. A broken store of this
// process is known to take none.
func (s *store) unwilling() error {
	if err := s.engine.Broken(); err != nil {
		return err
	}
	since := s.unwritable()
	if since < s.limits.StorePatience || s.refusal() != nil {
		return nil
	}
	return fault.New(fault.Unavailable, "%s; nothing is written since %s", s.engine.Lacks(), since.Round(time.Second))
}

// fresh waits until everything is applied that any replica had written when it
// was called. It does not begin to while the bucket neither takes writes nor answers.
func (s *store) fresh(ctx context.Context) error {
	if err := s.unwilling(); err != nil && s.away() > 2*s.limits.StoreCheck {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.StorePatience)
	defer cancel()
	last, err := s.lastRevision(ctx)
	if err != nil {
		return err
	}
	return s.awaitOwn(ctx, func() bool { return s.seen >= last })
}

func (s *store) lastRevision(ctx context.Context) (uint64, error) {
	var status jetstream.KeyValueStatus
	err := s.insist(ctx, func(ctx context.Context) (err error) {
		status, err = s.kv.Status(ctx)
		return err
	})
	if err != nil {
		return 0, s.engine.Unable(err)
	}
	return revisionOf(status)
}

func revisionOf(status jetstream.KeyValueStatus) (uint64, error) {
	bucket, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return 0, fault.New(fault.Unavailable, "the store says nothing of its state")
	}
	return bucket.StreamInfo().State.LastSeq, nil
}

// await waits until ok, which is called with mu held.
func (s *store) await(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		if ok() {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return s.engine.Unable(ctx.Err())
		}
	}
}

// hashed makes a key of any string.
func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
