//go:build unix

package registry

import (
	"context"
	"slices"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
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
