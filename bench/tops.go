package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/peerbus/peerbus/bench/cases"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/report"
	"github.com/peerbus/peerbus/internal/fault"
)

// How many functions of a process are in a text, by the time of their own and by that of
// what they call too.
const (
	topNodes = "15"
	cumNodes = "40"
)

// benchmarked are the functions of ours in the profile of a benchmark, which has the map
// and what both need in it too.
const benchmarked = `\.Benchmark\w+\.func1$`

// profile writes what is wanted of a case's profiles: the files, and the texts.
func (s *settings) profile(ctx context.Context, c *cases.Comparison, name string) (err error) {
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
	return s.writeTops(ctx, dir, name)
}

// topsAgain writes the texts of profiles that were taken before.
func (s *settings) topsAgain(ctx context.Context) error {
	wrote := 0
	for _, c := range s.chosen() {
		err := s.writeTops(ctx, s.from, c.Name)
		switch {
		case err == nil:
			wrote++
		case fault.CodeOf(err) != fault.NotFound:
			return err
		}
	}
	if wrote == 0 {
		return fault.New(fault.NotFound, "there are no profiles of cases in %s", s.from).In("from")
	}
	return nil
}

// writeTops writes one text for all profiles of a case: what takes the most time in each
// process, or the most memory.
func (s *settings) writeTops(ctx context.Context, dir, name string) error {
	files, err := filepath.Glob(filepath.Join(dir, name+"-*"+drive.CPUProfile))
	if err != nil {
		return err
	}
	t := report.Tops{Case: name, Note: s.note, At: time.Now(), Machine: report.ThisMachine()}
	t.Machine.Load = "" // that of now, not of the beginning
	for _, file := range files {
		process := strings.TrimPrefix(filepath.Base(file), name+"-")
		if isOther(file, name) {
			continue
		}
		top, err := topOf(ctx, process, file)
		if err != nil {
			return err
		}
		t.All = append(t.All, top)
	}
	if len(t.All) == 0 {
		return fault.New(fault.NotFound, "%s has no profiles in %s", name, dir)
	}
	return into(filepath.Join(s.tops, name+".txt"), t.Write)
}

// isOther tells whether a file is of another case, whose name goes on after this one's.
func isOther(file, name string) bool {
	return slices.ContainsFunc(cases.All(), func(c cases.Case) bool {
		return strings.HasPrefix(c.Name, name+"-") && strings.HasPrefix(filepath.Base(file), c.Name+"-")
	})
}

// topOf reads a profile.
func topOf(ctx context.Context, process, file string) (t report.Top, err error) {
	var which []string
	switch {
	case strings.HasSuffix(process, drive.HeapProfile):
		process, which = strings.TrimSuffix(process, drive.HeapProfile)+", memory", []string{"-sample_index=inuse_space"}
	case process == "benchmark"+drive.CPUProfile:
		which = []string{"-focus=" + benchmarked}
	}
	own, err := pprofTop(ctx, file, append(which, "-nodecount="+topNodes)...)
	if err != nil {
		return t, err
	}
	all, err := pprofTop(ctx, file, append(which, "-cum", "-nodecount="+cumNodes)...)
	return report.TopOf(strings.TrimSuffix(process, drive.CPUProfile), own, all), err
}

func pprofTop(ctx context.Context, file string, which ...string) (string, error) {
	line := append(append([]string{"tool", "pprof", "-top"}, which...), file)
	text, err := exec.CommandContext(ctx, "go", line...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("go tool pprof: %w: %s", err, exit.Stderr)
	}
	return string(text), err
}
