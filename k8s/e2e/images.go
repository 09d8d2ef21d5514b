package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Images, as the manifests name them.
const (
	peerbusImage = "docker.io/library/peerbus:development"
	natsImage    = "docker.io/library/nats:2.15.2"
	e2eImage     = "docker.io/library/peerbus-e2e:development"
)

// natsModule is the server that the official image has. Its version is go.mod's.
const natsModule = "github.com/nats-io/nats-server/v2"

// load brings the images into the cluster, where there is something to load them with.
func (t *test) load(ctx context.Context) error {
	loader := os.Getenv("K8S_LOAD")
	if loader == "" {
		t.say("images: K8S_LOAD is not set, they must be there")
		return nil
	}
	t.say("images")
	began := time.Now()
	nats, e2e := filepath.Join(t.dir, "nats-server"), filepath.Join(t.dir, "e2e")
	env := []string{"CGO_ENABLED=0"}
	if _, err := execute(ctx, nil, env, "go", "build", "-trimpath", "-o", nats, natsModule); err != nil {
		return err
	}
	if _, err := execute(ctx, nil, env, "go", "build", "-trimpath", "-o", e2e, "./e2e"); err != nil {
		return err
	}
	binary := filepath.Join(t.dir, "peerbus")
	text, err := os.ReadFile(t.binary)
	if err == nil {
		err = os.WriteFile(binary, text, 0o755) //nolint:gosec // a program
	}
	if err != nil {
		return err
	}
	t.binary = binary
	g, ctx := errgroup.WithContext(ctx)
	for image, binary := range map[string]string{natsImage: nats, e2eImage: e2e} {
		g.Go(func() error { _, err := execute(ctx, nil, nil, loader, image, binary); return err })
	}
	g.Go(func() error { return t.loadPeerbus(ctx, loader, binary) })
	if err := g.Wait(); err != nil {
		return err
	}
	t.row("images", strings.Join([]string{"peerbus", "nats", "peerbus-e2e"}, ", "), time.Since(began))
	return nil
}

// loadPeerbus loads the archive of `make image` if there is one beside the binary, else
// the binary alone.
func (t *test) loadPeerbus(ctx context.Context, loader, binary string) error {
	if archive := os.Getenv("PEERBUS_ARCHIVE"); archive != "" {
		_, err := execute(ctx, nil, nil, loader, "--tar", archive)
		return err
	}
	_, err := execute(ctx, nil, nil, loader, peerbusImage, binary)
	return err
}
