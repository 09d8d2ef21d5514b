//go:build unix

package registry

import (
	"context"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/fulldisk"
)

// While the disk is full nothing is registered, and why is said at once. With room it goes
// on by itself.
func TestARegistryOutlivesAFullDisk(t *testing.T) {
	e := openEngine(t)
	w := newWorld(t)
	r := w.start(e, nil)
	register := func(url string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // the store is faster
		defer cancel()
		_, err := r.api.Register(ctx, &pb.RegisterRequest{Registration: &pb.Registration{Url: url}})
		return err
	}
	if err := register("hyperty://a.example/1"); err != nil {
		t.Fatal(err)
	}

	room := fulldisk.Fill(t)
	for _, url := range []string{"hyperty://a.example/2", "hyperty://a.example/3"} {
		err := fault.From(register(url))
		if err.Code != fault.Unavailable || err.Description != "the store takes no writes: "+fulldisk.Reason.Error() {
			t.Errorf("registering %s: %v", url, err)
		}
	}
	resp, err := r.api.GetRuntime(t.Context(), &pb.GetRuntimeRequest{})
	if err != nil || !slices.ContainsFunc(resp.Components, func(c *pb.ComponentStatus) bool { return c.Name == storeName && !c.Connected }) {
		t.Errorf("the runtime says nothing of its store: %v, %v", resp, err)
	}

	var untaken dto.Metric
	if err := r.metrics.storeErrors.Write(&untaken); err != nil || untaken.Counter.GetValue() != 2 {
		t.Errorf("%v writes are counted that the store did not take: %v", untaken.Counter.GetValue(), err)
	}

	room()
	ctx, mended := context.WithTimeout(t.Context(), patience)
	_ = every(ctx, 10*time.Millisecond, func() {
		if e.Broken() == nil {
			mended()
		}
	})
	if err := register("hyperty://a.example/2"); err != nil {
		t.Error(err)
	}
}

// A registry that is started on a full disk says so to who asks, and goes on with room.
func TestARegistryStartsOnAFullDisk(t *testing.T) {
	w := newWorld(t)
	conn, stop := w.serve()
	defer stop()
	room := fulldisk.Fill(t)
	r, err := New(Config{
		RuntimeURL: runtimeA, P2PStub: pb.NewP2PStubClient(conn), NodeStub: pb.NewNodeStubClient(conn), Bus: conn,
		Engine: openEngine(t), Log: testLog(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()

	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = every(within, 10*time.Millisecond, func() {
		if r.unread.Load() != nil {
			cancel()
		}
	})
	want := "the registry is still starting: " + engine.NoWrites + ": " + fulldisk.Reason.Error()
	if err := fault.From(r.ready(ctx)); err.Code != fault.Unavailable || err.Description != want {
		t.Errorf("it says %v, want %s", err, want)
	}
	room()
	if err := r.untilLoaded(ctx); err != nil {
		t.Error(err)
	}
	if err := r.ready(ctx); err != nil {
		t.Errorf("with room: %v", err)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
