package members

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/engine"
)

// refusing takes no write, and says what it has.
type refusing struct {
	jetstream.KeyValue
	entry
}

type entry struct {
	jetstream.KeyValueEntry
	value    []byte
	revision uint64
}

func (e entry) Value() []byte    { return e.value }
func (e entry) Revision() uint64 { return e.revision }

func (r refusing) Create(context.Context, string, []byte, ...jetstream.KVCreateOpt) (uint64, error) {
	return 0, jetstream.ErrKeyExists
}

func (r refusing) Update(context.Context, string, []byte, uint64) (uint64, error) {
	return 0, jetstream.ErrKeyRevisionMismatch
}

func (r refusing) Get(context.Context, string) (jetstream.KeyValueEntry, error) { return r.entry, nil }

// A refusal whose reason is a write of one's own before is no failure. A server without a
// majority refuses too, and has what was there: nothing is renewed.
func TestARefusedClaim(t *testing.T) {
	me, other := member("registry", "me"), member("registry", "other")
	for name, tc := range map[string]struct {
		has     Member
		at      uint64 // the revision that is there
		claimed uint64 // the one that this member knows
		renewed bool
	}{
		"the answer to the first claim was lost": {me, 7, 0, true},
		"the answer to a renewal was lost":       {me, 7, 6, true},
		"nothing was written":                    {me, 7, 7, false},
		"another one leads":                      {other, 8, 7, false},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := New(Config{Engine: &engine.Engine{}, Self: me, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			value, err := json.Marshal(tc.has)
			if err != nil {
				t.Fatal(err)
			}
			g.kv = refusing{entry: entry{value: value, revision: tc.at}}
			revision, err := g.claim(t.Context(), tc.claimed)
			if (err == nil) != tc.renewed || tc.renewed && revision != tc.at {
				t.Errorf("claimed at %d: %v", revision, err)
			}
		})
	}
}

// purged counts what is removed.
type purged struct {
	jetstream.KeyValue
	n int
}

func (p *purged) Purge(context.Context, string, ...jetstream.KVDeleteOpt) error {
	p.n++
	return nil
}

// A key that was known before another watch, and that this one has not brought, is not in
// the bucket, or has been written since: what is there is another one's.
func TestAKeyThatIsNotThereIsNotRemoved(t *testing.T) {
	g, err := New(Config{Engine: &engine.Engine{}, Self: member("bus", "me"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	kv := &purged{}
	g.kv = kv
	g.clear(t.Context(), leadKey("bus"), 0)
	if kv.n != 0 {
		t.Error("it is removed, whatever it is")
	}
	g.clear(t.Context(), leadKey("bus"), 7)
	if kv.n != 1 {
		t.Error("one that is there is not removed")
	}
}

// What NATS says itself is not taken for the want of a majority.
func TestTroubleSaysWhatNATSSays(t *testing.T) {
	g, err := New(Config{Engine: &engine.Engine{}, Self: member("bus", "me"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	g.beaten = time.Now().Add(-time.Minute)
	for _, tc := range []struct {
		why  error
		want string
	}{
		{context.DeadlineExceeded, "does not answer"},
		{&jetstream.APIError{Code: 400, Description: "it is full"}, "it is full"},
	} {
		g.noteBeat(tc.why)
		if trouble := g.Trouble(); trouble == nil || !strings.Contains(trouble.Error(), tc.want) {
			t.Errorf("%v: %v", tc.why, trouble)
		}
	}
	if g.noteBeat(nil); g.Trouble() != nil {
		t.Error("it is in trouble, though its beat was written")
	}
}
