package drive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// profileSeconds is how long a CPU profile lasts.
const profileSeconds = 3

// Profile writes a CPU profile of each service into a directory, while the side is
// measured again and again: DIR/CASE-SERVICE.pprof.
func (w *Way) Profile(ctx context.Context, side round.Side, dir, name string) error {
	busy, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	for _, m := range w.Members {
		if s, ok := m.(Service); ok && s.ProfileAddr != "" {
			g.Go(func() error { return s.profile(ctx, filepath.Join(dir, name+"-"+s.Name+".pprof")) })
		}
	}
	measured := make(chan error, 1)
	go func() {
		for busy.Err() == nil {
			if _, err := side.Measure(ctx); err != nil { // to its end, so that all that was sent arrives
				measured <- err
				return
			}
		}
		measured <- nil
	}()
	err := g.Wait()
	stop()
	if failed := <-measured; err == nil {
		err = failed
	}
	return err
}

func (s Service) profile(ctx context.Context, name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	err = fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.ProfileAddr, profileSeconds), file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
