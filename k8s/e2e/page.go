package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peerbus/peerbus/internal/pages"
)

// page does what docs/kubernetes.md says, as it stands. It removes what it makes.
func (t *test) page(ctx context.Context) (result string, err error) {
	repository := filepath.Dir(t.cluster.root)
	text, err := os.ReadFile(filepath.Join(repository, "docs", "kubernetes.md"))
	if err != nil {
		return "", err
	}
	p, err := pages.Parse(string(text))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(t.dir, "page")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for name, value := range map[string]string{
		"KUBECONFIG": t.kubeconfig,
		// Over WebSockets, kubectl 1.32 now and then says "Unknown stream id 1, discarding
		// message" among what a command in a pod prints.
		"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false",
	} {
		if err := os.Setenv(name, value); err != nil {
			return "", err
		}
	}
	r, err := pages.NewRunner(repository, t.binary, dir)
	if err != nil {
		return "", err
	}
	defer func() {
		if end := r.End(); err == nil {
			err = end
		}
	}()
	for _, b := range p.Blocks {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err := r.Run(b); err != nil {
			return "", fmt.Errorf("line %d: %w\nall that it has printed:\n%s", b.Line, err, r.Printed())
		}
	}
	return fmt.Sprintf("%d blocks", len(p.Blocks)), nil
}
