package msgnode

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/engine"
)

// A server that lags behind says that all has come before it has. A watch that begins
// after that brings the rest.
func TestAWatchGoesOnWhereTheLastOneWas(t *testing.T) {
	e, err := engine.Open(t.Context(), engine.Config{DataDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	kv, err := e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	got, limits := map[string]string{}, DefaultLimits()
	s := &store{
		kv: kv, engine: e, limits: &limits, log: slog.New(slog.DiscardHandler), stalled: make(chan uint64, 1), madeAt: time.Now(),
		revs: map[string]uint64{}, apply: func(key string, value []byte) { got[key] = string(value) },
	}
	watch := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := s.watch(ctx, cancel); err != nil {
			t.Fatal(err)
		}
	}
	put := func(key string) uint64 {
		t.Helper()
		revision, err := kv.PutString(t.Context(), key, "v")
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	put("a")
	watch()
	s.advance(put("b")) // as if that one had ended with it unsaid
	watch()
	if got["a"] != "v" || got["b"] != "v" || s.revision("b") == 0 {
		t.Errorf("the copy has %v", got)
	}
	before := len(got)
	clear(got)
	watch()
	if before != 2 || len(got) != 0 {
		t.Errorf("%v came again", got)
	}
}
