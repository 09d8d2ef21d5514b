package engine_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{DataDir: dir, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestBucketSurvivesARestart(t *testing.T) {
	dir, cfg := t.TempDir(), jetstream.KeyValueConfig{Bucket: "b"}
	e := open(t, dir)
	kv, err := e.Bucket(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	e.Close()

	e = open(t, dir)
	defer e.Close()
	if kv, err = e.Bucket(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(t.Context(), "k")
	if err != nil || string(entry.Value()) != "v" {
		t.Fatalf("after a restart: %v, %v", entry, err)
	}
}

// A bucket that another version made with other settings gets those of this one.
func TestBucketGetsItsSettings(t *testing.T) {
	e := open(t, "")
	defer e.Close()
	kv, err := e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "b", History: 5})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // changed, and then as it should be
		if kv, err = e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "b", History: 1, LimitMarkerTTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		is, err := kv.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if is.History() != 1 || is.LimitMarkerTTL() != time.Hour {
			t.Errorf("history %d, marks of deletions for %v", is.History(), is.LimitMarkerTTL())
		}
		if entry, err := kv.Get(t.Context(), "k"); err != nil || string(entry.Value()) != "v" {
			t.Errorf("what it had: %v, %v", entry, err)
		}
	}
}

func TestDirectoryBelongsToOne(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	_, err := engine.Open(t.Context(), engine.Config{DataDir: dir})
	if fault.CodeOf(err) != fault.Conflict {
		t.Errorf("second engine on the same directory: %v", err)
	}
	e.Close()
	e.Close() // harmless
	open(t, dir).Close()
}

func TestTemporaryDirectoryIsRemoved(t *testing.T) {
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	e := open(t, "")
	if left, _ := os.ReadDir(parent); len(left) != 1 {
		t.Fatalf("%d directories while open, want 1", len(left))
	}
	e.Close()
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLargestMessageFits(t *testing.T) {
	e := open(t, "")
	defer e.Close()
	sub, err := e.Conn().SubscribeSync("s")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Conn().Publish("s", make([]byte, engine.MaxPayload)); err != nil {
		t.Fatal(err)
	}
	m, err := sub.NextMsgWithContext(t.Context())
	if err != nil || len(m.Data) != engine.MaxPayload {
		t.Fatalf("%v", err)
	}
}

func TestNoServerIsUnavailable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := engine.Open(ctx, engine.Config{Log: slog.New(slog.DiscardHandler), URL: "nats://127.0.0.1:1, nats://127.0.0.1:2"})
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("no server: %v", err)
	}
}

func TestServerElsewhere(t *testing.T) {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	var log bytes.Buffer
	e, err := engine.Open(t.Context(), engine.Config{URL: srv.ClientURL(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "b"}); err != nil {
		t.Error(err)
	}
	three, err := engine.Open(t.Context(), engine.Config{URL: srv.ClientURL(), Replicas: 3, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer three.Close()
	if _, err := three.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "c"}); err == nil || !strings.Contains(err.Error(), "3 replicas") {
		t.Errorf("three replicas on one server: %v", err)
	}
	if !strings.Contains(log.String(), "max_payload") {
		t.Errorf("a server that takes only 1 MiB is not spoken of: %q", log.String())
	}
}

// gathered gives the values of an engine's metrics, by name and direction.
func gathered(t *testing.T, e *engine.Engine) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(e.Metrics()...)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := strings.TrimPrefix(f.GetName(), "peerbus_store_")
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

func TestMetrics(t *testing.T) {
	e := open(t, t.TempDir())
	defer e.Close()
	kv, err := e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	before := gathered(t, e)
	if before["connected"] != 1 || before["reconnects_total"] != 0 {
		t.Errorf("%v", before)
	}
	if _, err := kv.Put(t.Context(), "k", make([]byte, 10_000)); err != nil {
		t.Fatal(err)
	}
	after := gathered(t, e)
	for name, least := range map[string]float64{
		"bytes_total out": 10_000, "messages_total out": 1, "messages_total in": 1, "bytes_total in": 1, "disk_bytes": 10_000,
	} {
		if after[name] < before[name]+least {
			t.Errorf("%s went from %v to %v", name, before[name], after[name])
		}
	}
	e.Close()
	if n := gathered(t, e)["connected"]; n != 0 {
		t.Errorf("connected is %v after the end", n)
	}
}

// A server that is not there yet is waited for.
func TestServerThatComesLater(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().(*net.TCPAddr)
	waiting := make(chan struct{})
	log := slog.New(slog.NewTextHandler(closeOnWrite{sync.OnceFunc(func() { close(waiting) })}, nil))
	opened := make(chan error, 1)
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	go func() {
		e, err := engine.Open(t.Context(), engine.Config{URL: "nats://" + addr.String(), Log: log})
		if err == nil {
			_, err = e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
			e.Close()
		}
		opened <- err
	}()
	<-waiting // it has said that nobody is there
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: addr.Port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// closeOnWrite tells that something is in the log.
type closeOnWrite struct{ said func() }

func (c closeOnWrite) Write(p []byte) (int, error) {
	c.said()
	return len(p), nil
}

func TestReplicasAreChecked(t *testing.T) {
	for _, cfg := range []engine.Config{{Replicas: -1}, {Replicas: 2}, {Replicas: 6, URL: "nats://127.0.0.1:1"}} {
		if _, err := engine.Open(t.Context(), cfg); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
