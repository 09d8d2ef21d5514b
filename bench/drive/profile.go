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

// How long a CPU profile lasts, in whole seconds: of a side that is at work, and of one
// that does little.
const (
	busyTime  = 10 * time.Second
	quietTime = 20 * time.Second
)

// Kinds of profiles, which files end with.
const (
	CPUProfile  = ".pprof"
	HeapProfile = "-heap.pprof"
)

// profiled are processes by the names that their files have.
type profiled map[string]Member

// take writes a CPU profile of each, DIR/CASE-PROCESS.pprof, while the side is measured
// again and again.
func (all profiled) take(ctx context.Context, side round.Side, lasts time.Duration, dir, name string) error {
	busy, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	for process, m := range all {
		g.Go(func() error { return m.Profile(ctx, filepath.Join(dir, name+"-"+process+CPUProfile), lasts) })
	}
	measured := make(chan error, 1)
	go func() { measured <- repeat(busy, ctx, side) }()
	err := g.Wait()
	stop()
	if failed := <-measured; err == nil {
		err = failed
	}
	return err
}

// repeat measures until busy is over, the last time to its end, so that all that was sent
// arrives.
func repeat(busy, ctx context.Context, side round.Side) error {
	for busy.Err() == nil {
		if _, err := side.Measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Profile writes CPU profiles of all processes into a directory, while the side, which is
// of this way, is measured.
func (w *Way) Profile(ctx context.Context, side round.Side, dir, name string) error {
	all := profiled{}
	for _, m := range w.Members {
		switch m := m.(type) {
		case Service:
			all[m.Name] = m
		case Worker:
			end := "receiver"
			if m.Process == w.From {
				end = "sender"
			}
			all[end] = m
		}
	}
	return all.take(ctx, side, busyTime, dir, name)
}

// Profile writes CPU profiles of all processes into a directory, while they set up
// connections.
func (s SetUps) Profile(ctx context.Context, dir, name string) error {
	return profiled(s.Members).take(ctx, s, quietTime, dir, name)
}

// Profile writes a CPU profile of the process, and one of its memory.
func (h Holder) Profile(ctx context.Context, dir, name string) error {
	return h.Service.quiet(ctx, filepath.Join(dir, name+"-"+h.Service.Name))
}

// Profile writes a CPU profile of a process that is started for it and left alone, and one
// of its memory.
func (s Solitude) Profile(ctx context.Context, dir, name string) error {
	p, err := s.Start(ctx)
	if err != nil {
		return err
	}
	err = p.Service.quiet(ctx, filepath.Join(dir, name+"-"+p.Service.Name))
	if closed := p.Close(); err == nil {
		err = closed
	}
	return err
}

// quiet writes both of a service that does little; begin is what the names of the files
// begin with.
func (s Service) quiet(ctx context.Context, begin string) error {
	if err := s.Profile(ctx, begin+CPUProfile, quietTime); err != nil {
		return err
	}
	return s.profile(ctx, begin+HeapProfile, "heap?gc=1")
}

// Profile is of Member.
func (w Worker) Profile(ctx context.Context, file string, lasts time.Duration) error {
	return w.Call(ctx, load.DoProfile, load.Profile{File: file, Lasts: lasts}, nil)
}

// Profile is of Member.
func (s Service) Profile(ctx context.Context, file string, lasts time.Duration) error {
	return s.profile(ctx, file, fmt.Sprintf("profile?seconds=%d", int(lasts.Seconds())))
}

func (s Service) profile(ctx context.Context, name, what string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	err = s.fetch(ctx, what, file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
