package drive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/load"
)

// profileTime is how long a CPU profile lasts, in whole seconds.
const profileTime = 3 * time.Second

// Profile writes a CPU profile of each process into a directory, while the side is
// measured again and again: DIR/CASE-PROCESS.pprof.
func (w *Way) Profile(ctx context.Context, side round.Side, dir, name string) error {
	busy, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	for _, m := range w.Members {
		g.Go(func() error { return w.profile(ctx, m, filepath.Join(dir, name)) })
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

// profile writes that of one process; begin is what the file's name begins with.
func (w *Way) profile(ctx context.Context, m Member, begin string) error {
	switch m := m.(type) {
	case Service:
		return m.profile(ctx, begin+"-"+m.Name+".pprof")
	case Worker:
		end := "receiver"
		if m.Process == w.From {
			end = "sender"
		}
		return m.Call(ctx, load.DoProfile, load.Profile{File: begin + "-" + end + ".pprof", Lasts: profileTime}, nil)
	}
	return nil
}

func (s Service) profile(ctx context.Context, name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	err = fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.ProfileAddr, int(profileTime.Seconds())), file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
