package micro

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/internal/fault"
)

// module is that of what is measured.
const module = "github.com/peerbus/peerbus"

// Benchmark of a package of ours.
type Benchmark struct {
	Package string // below the module
	Name    string
	Unit    string // what follows `ours-` and `map-`
	Metric  round.Metric
	Times   int // how often each count does it
	Counts  int // rounds
	Short   bool
}

// Run is a benchmark that runs.
type Run struct {
	b     Benchmark
	dir   string
	cmd   *exec.Cmd
	lines *bufio.Scanner
	next  *round.Pair // what one side has had already
}

// Start builds the benchmark and runs it.
func (b Benchmark) Start(ctx context.Context) (_ *Run, err error) {
	r := &Run{b: b}
	if r.dir, err = os.MkdirTemp("", "peerbus-bench-"); err != nil {
		return nil, err
	}
	binary := r.binary()
	root, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module)
	if err == nil {
		_, err = output(ctx, "go", "-C", strings.TrimSpace(root), "test", "-c", "-o", binary, "./"+b.Package)
	}
	if err == nil {
		err = r.start(binary)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Run) start(binary string) error {
	cmd := exec.Command(binary, r.b.args(r.b.Times, r.b.Counts)...)
	cmd.Dir, cmd.Stderr = r.dir, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd, r.lines = cmd, bufio.NewScanner(out)
	return nil
}

func (r *Run) binary() string { return filepath.Join(r.dir, "benchmark.test") }

// args of the benchmark, which does it so many times in each of some counts.
func (b Benchmark) args(times, counts int) []string {
	args := []string{
		"-test.run=^$", "-test.bench=^" + b.Name + "$", "-test.timeout=10m",
		"-test.benchtime=" + strconv.Itoa(times) + "x", "-test.count=" + strconv.Itoa(counts),
	}
	if b.Short {
		args = append(args, "-test.short")
	}
	return args
}

// profiledTimes is how many counts are done for a profile, at once.
const profiledTimes = 10

// Profile runs the benchmark once more, and writes a CPU profile of it, with what it
// prepares and with the map.
func (r *Run) Profile(ctx context.Context, dir, name string) error {
	file, err := filepath.Abs(filepath.Join(dir, name+"-benchmark.pprof"))
	if err != nil {
		return err
	}
	_, err = output(ctx, r.binary(), append(r.b.args(profiledTimes*r.b.Times, 1), "-test.cpuprofile="+file)...)
	return err
}

// Sides gives both sides of the benchmark.
func (r *Run) Sides() (ours, baseline round.Side) {
	return half(func(p *round.Pair) *round.Sample { return &p.Ours }, r), half(func(p *round.Pair) *round.Sample { return &p.Baseline }, r)
}

// half is one side: who comes first in a round waits for the next line.
func half(of func(*round.Pair) *round.Sample, r *Run) round.Side {
	return sideFunc(func(context.Context) (round.Sample, error) {
		if r.next == nil || *of(r.next) == nil {
			p, err := r.read()
			if err != nil {
				return nil, err
			}
			r.next = &p
		}
		sample := *of(r.next)
		*of(r.next) = nil
		return sample, nil
	})
}

type sideFunc func(context.Context) (round.Sample, error)

func (f sideFunc) Measure(ctx context.Context) (round.Sample, error) { return f(ctx) }

func (r *Run) read() (round.Pair, error) {
	var said []string
	for r.lines.Scan() {
		p, ok, err := parseLine(r.lines.Text(), r.b.Name, r.b.Unit, r.b.Metric)
		if ok || err != nil {
			return p, err
		}
		said = append(said, r.lines.Text())
	}
	return round.Pair{}, fault.New(fault.Unavailable, "%s has ended: %s", r.b.Name, strings.Join(said, "; "))
}

// Close ends the benchmark, be it finished or not.
func (r *Run) Close() error {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait() // it was killed
	}
	return os.RemoveAll(r.dir)
}

// output runs a command; the error has what it said.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s %s: %w: %s", name, args[0], err, bytes.TrimSpace(exit.Stderr))
	}
	return string(out), err
}
