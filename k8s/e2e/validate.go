package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/k8s/manifests"
)

// validate has the API server look at every overlay and combination, policies included,
// and make nothing of it (server-side dry run). Admission is asked as well.
func (t *test) validate(ctx context.Context) (string, error) {
	for _, namespace := range []string{manifests.Alice, manifests.Bob} { // objects of one that is not there are refused
		if err := t.makeNamespace(ctx, namespace, "restricted"); err != nil {
			return "", err
		}
	}
	var objects atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	all := manifests.Combinations()
	for _, m := range all {
		g.Go(func() error {
			n, err := t.dryRun(ctx, m)
			objects.Add(int64(n))
			if err != nil {
				return fmt.Errorf("%s: %w", m, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d combinations, %d objects", len(all), objects.Load()), nil
}

// dryRun counts the objects that the API server would take. A warning is an error: the
// namespaces are as restricted as can be, which only hostNetwork is not.
func (t *test) dryRun(ctx context.Context, m manifests.Combination) (int, error) {
	dir, err := t.folder(m, "")
	if err != nil {
		return 0, err
	}
	text, err := t.kubectl(ctx, "kustomize", dir)
	if err != nil {
		return 0, err
	}
	strict := fmt.Sprintf("--warnings-as-errors=%t", !m.Has("host-network"))
	out, err := t.with(ctx, []byte(text), "apply", "--dry-run=server", strict, "-f", "-")
	return lines(out), err
}
