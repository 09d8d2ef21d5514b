package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
)

// A registry that acts has a term. It begins with a write of termKey, compared and
// set, and every other write asks that this key is still the one that it wrote: once
// another registry has begun a term, the one before can write nothing at all, also
// none of what the new one has not touched yet.
//
//	registry 1          store             registry 2
//	 │ term 7 ──────────► r. 40               │
//	 │ entry of B, if r. 40 ──► written       │
//	 │                    r. 52 ◄──── term 8 ─┤
//	 │                          ◄─ reads all ─┤
//	 │ entry of C, if r. 40 ──► refused       │
//
// The number of a term is told to the P2P stubs too, which heed no older one.

const termKey = "term"

// errDeposed is what a registry is told whose term is over.
var errDeposed = fault.New(fault.Conflict, "another registry has taken over: it writes the store now")

// term is what termKey has.
type term struct {
	// Number is higher than that of each term before: also of those in a store that
	// was lost, by the clock.
	Number uint64 `json:"number"`
}

// numberAfter is the number of a term after another one.
func numberAfter(before uint64, now time.Time) uint64 {
	return max(before+1, uint64(max(now.UnixMilli(), 0))) // not negative
}

// begin begins a term. It tries again while others do so too.
func (s *store) begin(ctx context.Context, now time.Time) error {
	wait := retry.Backoff{Min: 10 * time.Millisecond}
	for {
		err := s.tryBegin(ctx, now)
		if !errors.Is(err, errDeposed) {
			return err
		}
		if wait.Wait(ctx) != nil {
			return err
		}
	}
}

func (s *store) tryBegin(ctx context.Context, now time.Time) error {
	var before term
	var revision uint64
	switch e, err := s.kv.Get(ctx, termKey); {
	case err == nil:
		_ = json.Unmarshal(e.Value(), &before) // what cannot be read is older than the clock
		revision = e.Revision()
	case !errors.Is(err, jetstream.ErrKeyNotFound):
		return s.failed(err)
	}
	own := term{Number: numberAfter(before.Number, now)}
	value, err := json.Marshal(own)
	if err != nil {
		return err
	}
	if revision == 0 {
		revision, err = s.kv.Create(ctx, termKey, value)
	} else {
		revision, err = s.kv.Update(ctx, termKey, value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return errDeposed
	}
	if err != nil {
		return s.failed(err)
	}
	s.revision, s.number = revision, own.Number
	return nil
}

// fencedTries is how often a write is tried again that was refused although the term
// goes on: in a cluster, what another registry was writing may have been in its way.
const fencedTries = 5

// write puts a message into the bucket, if the term goes on.
func (s *store) write(ctx context.Context, key string, value []byte, header nats.Header, opts ...jetstream.PublishOpt) error {
	err := s.writeOne(ctx, key, value, header, opts...)
	if err != nil && !errors.Is(err, errDeposed) && !errors.Is(ctx.Err(), context.Canceled) {
		s.untaken()
	}
	return err
}

// writeOne is called once at a time: the store refuses what is compared with a key while
// another such write is under way.
func (s *store) writeOne(ctx context.Context, key string, value []byte, header nats.Header, opts ...jetstream.PublishOpt) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	ctx, cancel := s.engine.UntilBroken(ctx)
	defer cancel()
	if ctx.Err() != nil {
		return s.failed(context.Cause(ctx))
	}
	opts = append(opts, jetstream.WithExpectLastSequenceForSubject(s.revision, s.subject(termKey)))
	wait := retry.Backoff{Min: 10 * time.Millisecond}
	for tries := 1; ; tries++ {
		_, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: s.subject(key), Data: value, Header: header}, opts...)
		switch {
		case err == nil:
			return nil
		case !isWrongSequence(err):
			return s.failed(err)
		case s.isOver(ctx):
			s.deposed()
			return errDeposed
		case tries == fencedTries:
			return s.failed(fmt.Errorf("a write is refused although the term goes on (a NATS server before 2.12 may not compare with another key): %w", err))
		}
		if wait.Wait(ctx) != nil {
			return s.failed(err)
		}
	}
}

// isOver tells whether another term has begun. Where that cannot be known now, the
// next write tells.
func (s *store) isOver(ctx context.Context) bool {
	e, err := s.kv.Get(ctx, termKey)
	return errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && e.Revision() > s.revision
}

func (s *store) subject(key string) string { return "$KV." + s.kv.Bucket() + "." + key }

// Codes of JetStream for a last sequence that is not the expected one: of a stream,
// and of one with replicas.
const (
	wrongSequence           jetstream.ErrorCode = 10071
	wrongSequenceReplicated jetstream.ErrorCode = 10164
)

func isWrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == wrongSequence || api.ErrorCode == wrongSequenceReplicated)
}

// failed says what the store lacks that gave an error.
func (s *store) failed(err error) error { return s.engine.Unable(err) }
