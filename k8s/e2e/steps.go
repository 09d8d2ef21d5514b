package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

// step is a line of the table.
type step struct {
	name string
	do   func(context.Context) (result string, err error)
}

// test is a run.
type test struct {
	settings
	*cluster
	began time.Time
	rows  [][3]string
}

// test runs all steps, prints the table, and removes what was made.
func (s settings) test(ctx context.Context) (err error) {
	pattern, err := regexp.Compile(s.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	dir, err := os.MkdirTemp("", "peerbus-e2e-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // the runtime outside has a user of its own
		return err
	}
	for _, path := range []*string{&s.binary, &s.image} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	c, err := openCluster(ctx, s.root, dir)
	if err != nil {
		return err
	}
	t := &test{settings: s, cluster: c, began: time.Now()}
	t.say("seed %d", s.seed)
	if err := t.clear(ctx); err != nil {
		return err
	}
	err = t.load(ctx)
	for _, st := range t.steps() {
		if err == nil && pattern.MatchString(st.name) {
			err = t.play(ctx, st)
		}
	}
	if err == nil || !s.keep {
		err = errors.Join(err, t.clear(context.WithoutCancel(ctx)))
	}
	t.print()
	return err
}

func (t *test) steps() []step {
	return []step{
		{"all manifests, at the API server", t.validate},
		{"docs/kubernetes.md, as it stands", t.page},
		{"single, WebRTC internal", t.internal},
		{"single, WebRTC at a node's port", t.nodePort},
		{"single, WebRTC in a node's network", t.hostNetwork},
		{"scaled, under traffic", t.scaled},
	}
}

// play runs a step. What it made is gone before the next.
func (t *test) play(ctx context.Context, st step) error {
	t.say("%s", st.name)
	began := time.Now()
	result, err := st.do(ctx)
	if err != nil {
		result = "failed"
		err = fmt.Errorf("%s: %w", st.name, err)
	}
	t.row(st.name, result, time.Since(began))
	if err != nil && t.keep {
		return err
	}
	return errors.Join(err, t.clear(context.WithoutCancel(ctx)))
}

func (t *test) row(name, result string, took time.Duration) {
	t.rows = append(t.rows, [3]string{name, result, fmt.Sprintf("%.0f s", took.Seconds())})
}

func (t *test) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "STEP\tTIME\tRESULT")
	t.row("all", "", time.Since(t.began))
	for _, r := range t.rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", r[0], r[2], r[1])
	}
	_ = w.Flush() // nobody can be told
}

// say tells what happens, as it happens.
func (t *test) say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "%s %7.1f s  %s\n", time.Now().Format(time.TimeOnly), time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

// together runs things side by side.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		g.Go(func() error { return part(ctx) })
	}
	return g.Wait()
}

// lookEvery is how often something is looked at that is waited for.
const lookEvery = 250 * time.Millisecond

// await looks until it is as it should be, and gives the last complaint when it is not.
func await(ctx context.Context, patience time.Duration, look func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := look(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", patience, err)
		case <-time.After(lookEvery):
		}
	}
}
