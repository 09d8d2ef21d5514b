package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/peerbus/peerbus/internal/netlab"
)

// settings of a run.
type settings struct {
	binary       string
	duration     time.Duration
	seed         uint64
	only         string
	output       string
	switches     bool
	stall        bool
	pairs        int
	small, large float64        // messages a second each way
	weather      netlab.Weather // of the link while a listener stalls
	quiet        time.Duration
	logLevel     string
	keep         bool
}

// Exit codes: 1 for what went wrong, 2 for what cannot even begin here.
const (
	exitFailed   = 1
	exitNotBegun = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func execute(ctx context.Context, args []string, out, errs io.Writer) int {
	s, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = netlab.Requirements()
	}
	if err != nil {
		_, _ = fmt.Fprintf(errs, "chaos: %v\n", err)
		return exitNotBegun
	}
	if err := s.run(ctx, out, errs); err != nil {
		_, _ = fmt.Fprintf(errs, "chaos: %v\n", err)
		return exitFailed
	}
	return 0
}

func parse(args []string, errs io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&s.binary, "bin", "bin/peerbus", "the peerbus program")
	f.DurationVar(&s.duration, "duration", time.Minute, "how long faults happen")
	f.Uint64Var(&s.seed, "seed", 0, "what decides the faults and their order; 0 draws one")
	f.StringVar(&s.only, "only", "", "only faults whose names match this regular expression")
	f.StringVar(&s.output, "o", "table", "table or json")
	f.BoolVar(&s.switches, "switch", false, "measure what a switch of paths costs, instead")
	f.BoolVar(&s.stall, "stall", false, "measure what a listener that stops reading costs, instead")
	f.IntVar(&s.pairs, "pairs", 5, "posters each way, each with a listener of its own")
	f.Float64Var(&s.small, "small", 50, "messages of 64 bytes a second each way")
	f.Float64Var(&s.large, "large", 2, "messages of 256 KiB a second each way")
	f.DurationVar(&s.weather.Delay, "delay", 100*time.Millisecond, "with -stall: how late packets come over the link")
	f.Float64Var(&s.weather.Loss, "loss", 0.02, "with -stall: the part of packets that the link loses")
	f.DurationVar(&s.quiet, "quiet", 90*time.Second, "how long nothing may come at the end before what is missing is lost")
	f.StringVar(&s.logLevel, "log-level", "info", "of the processes")
	f.BoolVar(&s.keep, "keep", false, "keep logs and data even when all went well")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	for s.seed == 0 {
		s.seed = uint64(rand.Uint32())
	}
	return s, s.check(f.NArg())
}

func (s *settings) check(arguments int) error {
	switch {
	case arguments > 0:
		return errors.New("there are flags only; -h lists them")
	case s.output != "table" && s.output != "json":
		return fmt.Errorf("-o %q: want table or json", s.output)
	case s.pairs < 1, s.small <= 0, s.large < 0, s.large > s.small:
		return errors.New("-pairs and -small must be more than 0, and -large not more than -small")
	case s.switches && s.stall:
		return errors.New("-switch and -stall are two runs")
	}
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("-bin: %w (make build makes it)", err)
	}
	s.binary = binary
	_, err = matching(outline(*s).faults(), s.only)
	return err
}

// pace is that of one pair. Each large message is one of its poster's.
func (s *settings) pace() pace {
	perPair := (s.small + s.large) / float64(s.pairs)
	p := pace{every: time.Duration(float64(time.Second) / perPair)}
	if s.large > 0 {
		p.largeEach = int((s.small + s.large) / s.large)
	}
	return p
}

// result of a mode.
type result interface {
	print(io.Writer) error
	verdict() error
}

// run sets the stage, lets the mode play on it, and prints what came of it. The
// logs are kept when something went wrong.
func (s *settings) run(ctx context.Context, out, errs io.Writer) error {
	p := &progress{out: errs, began: time.Now()}
	w, err := newWorld(ctx, *s)
	if err == nil {
		p.say("two runtimes and a Message Node are up")
		err = s.play(ctx, w, p, out)
		w.close()
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return errors.Join(err, s.cleanUp(w, err != nil && ctx.Err() == nil, errs))
}

func (s *settings) cleanUp(w *world, failed bool, errs io.Writer) error {
	switch {
	case w == nil:
		return nil
	case s.keep:
		_, _ = fmt.Fprintf(errs, "logs and data are in %s\n", w.dir)
		return nil
	case failed:
		_, _ = fmt.Fprintf(errs, "logs are in %s\n", w.logs())
		return os.RemoveAll(w.data())
	}
	return os.RemoveAll(w.dir)
}

func (s *settings) play(ctx context.Context, w *world, p *progress, out io.Writer) error {
	r, err := s.mode(ctx, w, p)
	if err != nil {
		return err
	}
	if s.output == "json" {
		err = printJSON(out, r)
	} else {
		err = r.print(out)
	}
	return errors.Join(err, r.verdict())
}

func (s *settings) mode(ctx context.Context, w *world, p *progress) (result, error) {
	switch {
	case s.switches:
		return runSwitches(ctx, *s, w, p)
	case s.stall:
		return runStall(ctx, *s, w, p)
	default:
		return runFaults(ctx, *s, w, p)
	}
}

// quiet is the log of our own clients: that their stream breaks is no news here.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
