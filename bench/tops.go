package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/peerbus/peerbus/bench/cases"
	"github.com/peerbus/peerbus/bench/internal/report"
	"github.com/peerbus/peerbus/internal/fault"
)

// topNodes is how many functions of a process are in a text.
const topNodes = "30"

// profile writes what is wanted of a case's CPU profiles: the files, and the texts.
func (s *settings) profile(ctx context.Context, c *cases.Comparison, name string) (err error) {
	if c.Profile == nil {
		say("%-20s has no profile: no messages go over a way", name)
		return nil
	}
	dir := s.profiles
	if dir == "" {
		if dir, err = os.MkdirTemp("", "peerbus-bench-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	if err := c.Profile(ctx, dir, name); err != nil || s.tops == "" {
		return err
	}
	return writeTops(ctx, dir, name, filepath.Join(s.tops, name+".txt"))
}

// writeTops writes one text for all profiles of a case: what takes the most time in each
// process.
func writeTops(ctx context.Context, dir, name, file string) error {
	profiles, err := filepath.Glob(filepath.Join(dir, name+"-*.pprof"))
	if err != nil || len(profiles) == 0 {
		return fault.New(fault.NotFound, "%s has no profiles in %s", name, dir)
	}
	var all []top
	for _, p := range profiles {
		text, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount="+topNodes, p).Output() //nolint:gosec // a file of ours
		if err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				err = fmt.Errorf("%w: %s", err, exit.Stderr)
			}
			return fmt.Errorf("go tool pprof: %w", err)
		}
		process := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(p), name+"-"), ".pprof")
		all = append(all, topOf(process, string(text)))
	}
	return into(file, func(w io.Writer) error { return writeTexts(w, name, time.Now(), all) })
}

// top is the text of one process.
type top struct {
	process string
	used    string // CPU time, and which part of the time that passed
	seconds float64
	text    string
}

// topOf takes what `pprof -top` prints apart: what it says of the file, which differs from
// one machine to the next, is left out.
func topOf(process, text string) top {
	t := top{process: process, text: text}
	_, rest, found := strings.Cut(text, "Total samples = ")
	if !found {
		return t
	}
	var nodes string
	t.used, nodes, _ = strings.Cut(rest, "\n")
	t.used = strings.TrimSpace(t.used)
	if first, _, _ := strings.Cut(t.used, " "); first != "" {
		if d, err := time.ParseDuration(first); err == nil {
			t.seconds = d.Seconds()
		}
	}
	if _, after, found := strings.Cut(nodes, "total\n"); found {
		nodes = after
	}
	t.text = nodes
	return t
}

// writeTexts writes those of a case, who uses the most first.
func writeTexts(w io.Writer, name string, at time.Time, all []top) error {
	slices.SortStableFunc(all, func(a, b top) int {
		switch {
		case a.seconds > b.seconds:
			return -1
		case a.seconds < b.seconds:
			return 1
		}
		return strings.Compare(a.process, b.process)
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%s: CPU of each process, while it is measured again and again\n%s; %s\n\n", name, at.UTC().Format("2006-01-02"), report.ThisMachine())
	for _, t := range all {
		fmt.Fprintf(&b, "%-20s %s\n", t.process, t.used)
	}
	for _, t := range all {
		fmt.Fprintf(&b, "\n%s\n%s", t.process, t.text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
