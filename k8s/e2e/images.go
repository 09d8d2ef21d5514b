package main

import (
	"context"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/k8s/manifests"
)

// library is what a name of an image without a host stands for.
const library = "docker.io/library/"

// e2eImage has this program.
const e2eImage = library + "peerbus-e2e:development"

// natsModule is the server that the official image has.
const natsModule = "github.com/nats-io/nats-server/v2"

// load brings the images into the cluster, where there is something to load them with.
func (t *test) load(ctx context.Context) error {
	loader := loader()
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
	g, ctx := errgroup.WithContext(ctx)
	for image, binary := range map[string]string{library + manifests.NATSImage: nats, e2eImage: e2e} {
		g.Go(func() error { _, err := execute(ctx, nil, nil, loader, image, binary); return err })
	}
	g.Go(func() error { _, err := execute(ctx, nil, nil, loader, "--tar", t.image); return err })
	if err := g.Wait(); err != nil {
		return err
	}
	t.row("images", "peerbus, nats, peerbus-e2e", time.Since(began))
	return nil
}
