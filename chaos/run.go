package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/peerbus/peerbus/internal/numbered"
	"github.com/peerbus/peerbus/internal/run"
)

const (
	// directTime is how long traffic may take to be direct: at the beginning,
	// and after all faults.
	directTime = time.Minute
	// healTime bounds the beginning and the healing of a fault.
	healTime = 20 * time.Second
)

// runFaults lets a schedule of faults happen to steady traffic.
func runFaults(ctx context.Context, s settings, w *world, p *progress) (*report, error) {
	faults, err := matching(w.faults(), s.only)
	if err != nil {
		return nil, err
	}
	t, err := w.newSteadyTraffic(ctx, s.pairs, s.pace())
	if err != nil {
		return nil, err
	}
	t.start(ctx)
	if !t.settle(ctx, numbered.Direct) {
		return nil, notDirect(ctx)
	}
	p.say("traffic is direct both ways; seed %d", s.seed)
	began := time.Now()
	happened, err := happen(ctx, faults, schedule(s.seed, s.duration, targetsOf(faults)), p)
	if err != nil {
		return nil, err
	}
	healed := time.Now()
	isDirect := t.settle(ctx, numbered.Direct)
	p.say("all is healed; direct again after %.1f s: %t", time.Since(healed).Seconds(), isDirect)
	t.halt(ctx, s.quiet)
	t.drain(ctx, s.quiet)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r := newReport(t.judge.Findings(), p.began, happened)
	r.Seed, r.Seconds, r.Direct, r.Failures = s.seed, healed.Sub(began).Seconds(), isDirect, w.failures()
	return r, nil
}

func notDirect(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("traffic was not direct both ways within %s", directTime)
}

func targetsOf(faults []fault) [][]string {
	var out [][]string
	for _, f := range faults {
		out = append(out, f.targets)
	}
	return out
}

// happen runs a schedule, and gives what has happened when.
func happen(ctx context.Context, faults []fault, plan []planned, p *progress) ([]occurrence, error) {
	began := time.Now()
	h := &happening{progress: p, locks: map[string]*sync.Mutex{}}
	var parts []func(context.Context) error
	for _, next := range plan {
		f := faults[next.Fault]
		for _, target := range f.targets {
			h.locks[target] = &sync.Mutex{}
		}
		parts = append(parts, func(ctx context.Context) error {
			if err := run.Sleep(ctx, time.Until(began.Add(next.At))); err != nil {
				return err
			}
			return h.one(ctx, f, next.Lasts)
		})
	}
	err := run.All(ctx, parts...)
	return h.occurrences, errors.Join(err, ctx.Err())
}

// happening is a schedule under way.
type happening struct {
	progress *progress
	// locks keep faults of one target apart even when one takes longer than was
	// planned, such as a process that is slow to end.
	locks map[string]*sync.Mutex

	mu          sync.Mutex
	occurrences []occurrence
}

// one lets a fault begin, last and heal.
func (h *happening) one(ctx context.Context, f fault, lasts time.Duration) error {
	for _, target := range slices.Sorted(slices.Values(f.targets)) {
		h.locks[target].Lock()
		defer h.locks[target].Unlock()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	began := time.Now()
	h.say("%s, for %.1f s", f.name, lasts.Seconds())
	if err := bounded(ctx, f.begin); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	err := run.Sleep(ctx, time.Until(began.Add(lasts)))
	if err == nil && f.heal != nil {
		err = bounded(ctx, f.heal)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.occurrences = append(h.occurrences, occurrence{f.name, numbered.Span{From: began, To: time.Now()}})
	if err != nil {
		return fmt.Errorf("healing %s: %w", f.name, err)
	}
	return nil
}

func bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, healTime)
	defer cancel()
	return f(ctx)
}

func (h *happening) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress.say(format, args...)
}
