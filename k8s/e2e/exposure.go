package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/peerbus/peerbus/k8s/manifests"
)

// internal: pods reach one another; who is outside gets the Message Node.
func (t *test) internal(ctx context.Context) (string, error) {
	return t.exposed(ctx, "", "", relayed)
}

// nodePort: both runtimes have a port of the nodes, and who is outside reaches it.
func (t *test) nodePort(ctx context.Context) (string, error) {
	other, err := t.otherPort("30479")
	if err != nil {
		return "", err
	}
	return t.exposed(ctx, "node-port", other, direct)
}

// hostNetwork: Alice's p2pstub is in the network of its node.
func (t *test) hostNetwork(ctx context.Context) (string, error) {
	return t.exposed(ctx, "host-network", "", direct)
}

// exposed does the main job between the namespaces, and both ways with a runtime outside
// the cluster, whose messages take a path. bobs is a folder with a component of Bob's.
func (t *test) exposed(ctx context.Context, alices, bobs, path string) (string, error) {
	a := manifests.Combination{Overlay: "single", Namespace: manifests.Alice, Components: []string{"open-node"}}
	if alices != "" {
		a.Components = append(a.Components, alices)
	}
	b := manifests.Combination{Overlay: "runtime", Namespace: manifests.Bob}
	if bobs != "" {
		b.Components = append(b.Components, bobs)
	}
	alice, bob, err := t.start(ctx, a, b)
	if err != nil {
		return "", err
	}
	if err := mainJob(ctx, alice, bob, direct); err != nil {
		return "", err
	}
	if err := mainJob(ctx, bob, alice, direct); err != nil {
		return "", err
	}
	carol, err := t.startOutside(ctx)
	if err != nil {
		return "", err
	}
	defer carol.stop()
	if err := mainJob(ctx, carol, alice, path); err != nil {
		return "", err
	}
	if err := mainJob(ctx, alice, carol, path); err != nil {
		return "", err
	}
	return fmt.Sprintf("between namespaces %s, with the outside %s", direct, path), nil
}

// start applies two runtimes, and waits until both have their session.
func (t *test) start(ctx context.Context, a, b manifests.Combination) (alice, bob runtime, err error) {
	for _, m := range []manifests.Combination{a, b} {
		if err := t.apply(ctx, m, ""); err != nil {
			return nil, nil, err
		}
	}
	alice, bob = inCluster{t.cluster, a.Namespace, "alice"}, inCluster{t.cluster, b.Namespace, "bob"}
	return alice, bob, together(ctx,
		func(ctx context.Context) error { return t.up(ctx, a.Namespace, alice) },
		func(ctx context.Context) error { return t.up(ctx, b.Namespace, bob) },
	)
}

func (t *test) up(ctx context.Context, namespace string, r runtime) error {
	if err := t.rolledOut(ctx, namespace); err != nil {
		return err
	}
	_, err := ask(ctx, r, "status", "--wait", "--timeout", "50s")
	return err
}

// otherPort is the component node-port with another number, for a second runtime of the
// cluster; it is made as docs/kubernetes.md says.
func (t *test) otherPort(number string) (component string, err error) {
	dir := filepath.Join(t.dir, "node-port-"+number)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(t.cluster.root, "components", "node-port"))); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return "", err
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(text), "30478", number)), 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Rel(filepath.Join(t.cluster.root, "components"), dir)
}
