//go:build unix

package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/fulldisk"
)

// said is a log that tells of its lines.
type said chan string

func (s said) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (s said) WithAttrs([]slog.Attr) slog.Handler           { return s }
func (s said) WithGroup(string) slog.Handler                { return s }
func (s said) Handle(_ context.Context, r slog.Record) error {
	s <- r.Message
	return nil
}

func (s said) await(t *testing.T, line string) {
	t.Helper()
	for late := time.After(time.Minute); ; {
		select {
		case got := <-s:
			if got == line {
				return
			}
		case <-late:
			t.Fatalf("nothing says %q", line)
		}
	}
}

// A disk that was full takes writes again, and so does the store, which has all that it
// had. Meanwhile it says why it does not.
func TestAStoreOutlivesAFullDisk(t *testing.T) {
	log := make(said, 1000)
	e, err := engine.Open(t.Context(), engine.Config{DataDir: t.TempDir(), Name: t.Name(), Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	kv, err := e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "before", "v"); err != nil {
		t.Fatal(err)
	}

	room := fulldisk.Fill(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := kv.PutString(ctx, "lost", "v") // NATS does not answer
		failed <- err
	}()
	log.await(t, "the store takes no writes; it is started again when its directory does")
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("a write on a full disk: %v", err)
	}
	want := "the store takes no writes: " + fulldisk.Reason.Error()
	if err := fault.From(e.Broken()); err.Code != fault.Unavailable || err.Description != want {
		t.Errorf("it is broken: %v, want %q", err, want)
	}
	if err := e.Unable(context.DeadlineExceeded); err.Description != want {
		t.Errorf("what failed: %v, want %q", err, want)
	}
	if entry, err := kv.Get(t.Context(), "before"); err != nil || string(entry.Value()) != "v" {
		t.Errorf("what it had: %v, %v", entry, err)
	}

	room()
	log.await(t, "the store takes writes again")
	if err := e.Broken(); err != nil {
		t.Errorf("it is broken still: %v", err)
	}
	if _, err := kv.PutString(t.Context(), "after", "v"); err != nil {
		t.Errorf("a write after that: %v", err)
	}
	for key, want := range map[string]error{"before": nil, "lost": jetstream.ErrKeyNotFound, "after": nil} {
		if _, err := kv.Get(t.Context(), key); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", key, err, want)
		}
	}
}

// A server that is started on a full disk, with nothing there yet, does not know. Who wants a
// bucket is told, and has it once there is room.
func TestAFullDiskFromTheBeginning(t *testing.T) {
	room := fulldisk.Fill(t)
	e, err := engine.Open(t.Context(), engine.Config{DataDir: t.TempDir(), Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	_, err = e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
	if why := fault.From(err); why.Code != fault.Unavailable || why.Description != engine.NoWrites+": "+fulldisk.Reason.Error() {
		t.Errorf("a bucket: %v", err)
	}
	room()
	if _, err := e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "b"}); err != nil {
		t.Errorf("a bucket with room: %v", err)
	}
}
