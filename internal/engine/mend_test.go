package engine

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A server may complain while it starts, and of what another one has left: a look waits for
// the start, and finds nothing that concerns this one.
func TestComplaintsOfTheStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "jetstream", "$G", "streams", "KV_old"), 0o700); err != nil {
		t.Fatal(err)
	}
	var looks sync.WaitGroup
	e := &embedded{dir: dir}
	e.log = slog.New(heard(func() { looks.Go(e.look) }))
	defer e.stop()
	if err := e.begin(startTimeout); err != nil {
		t.Fatal(err)
	}
	looks.Wait()
	if len(e.mender.old) == 0 {
		t.Fatal("the server does not complain")
	}
	for range 2 {
		e.look()
		if broken := e.mender.broken(); broken != nil {
			t.Fatal(broken)
		}
	}
}

// heard is called for each complaint about a stream.
type heard func()

func (heard) Enabled(context.Context, slog.Level) bool { return true }
func (h heard) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h heard) WithGroup(string) slog.Handler          { return h }
func (h heard) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if strings.Contains(a.Value.String(), "metafile") {
			h()
		}
		return true
	})
	return nil
}

// What the store may hold does not depend on what was free when it was started.
func TestTheDiskIsTheBound(t *testing.T) {
	e, err := startEmbedded(t.Context(), Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.stop()
	if most := e.server.Load().JetStreamConfig().MaxStore; most != maxStore {
		t.Errorf("it holds %d bytes", most)
	}
}
