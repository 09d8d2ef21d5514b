package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/peerbus/peerbus/bench/cases"
	"github.com/peerbus/peerbus/bench/internal/report"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/internal/fault"
)

// caseTime bounds one case. Thousands of connections take some minutes to set up.
const caseTime = 10 * time.Minute

// measure runs the cases. One that fails does not keep the others from running.
func (s *settings) measure(ctx context.Context) error {
	some := s.chosen()
	if len(some) == 0 {
		return fault.New(fault.BadRequest, "run: no case matches %q", s.only).In("run")
	}
	program, err := s.program(ctx)
	if err != nil {
		return err
	}
	r := &report.Report{Program: program, Machine: report.ThisMachine(), Began: time.Now(), Short: s.short}
	for _, c := range some {
		if ctx.Err() != nil {
			break
		}
		r.Results = append(r.Results, s.one(ctx, c))
	}
	r.Seconds = time.Since(r.Began).Seconds()
	if err := errors.Join(ctx.Err(), s.write(r)); err != nil {
		return err
	}
	if n := r.Failed(); n > 0 {
		return fault.New(fault.Internal, "%d of %d cases could not run", n, len(some))
	}
	return nil
}

// program says what is measured, before it is.
func (s *settings) program(ctx context.Context) (report.Program, error) {
	if _, err := os.Stat(s.binary); err != nil {
		return report.Program{}, fault.New(fault.BadRequest, "bin: %w; build it with make build", err).In("bin")
	}
	return report.ProgramOf(ctx, s.binary)
}

// one runs a case, and says how it goes.
func (s *settings) one(ctx context.Context, c cases.Case) report.Result {
	result := report.Result{Name: c.Name, What: c.What, Beside: c.Beside, Goals: c.Goals, Missing: c.Missing}
	if c.Missing != "" {
		say("%-20s not built: %s", c.Name, c.Missing)
		return result
	}
	began := time.Now()
	pairs, err := s.rows(ctx, c)
	result.Seconds, result.Rounds = time.Since(began).Seconds(), len(pairs)
	if err != nil {
		result.Error = err.Error()
		say("%-20s failed: %v", c.Name, err)
		return result
	}
	result.Rows = round.Rows(pairs, c.Goals)
	say("%-20s %d rounds, %.0f s", c.Name, result.Rounds, result.Seconds)
	return result
}

func (s *settings) rows(ctx context.Context, c cases.Case) (pairs []round.Pair, err error) {
	ctx, cancel := context.WithTimeout(ctx, caseTime)
	defer cancel()
	rounds := s.rounds
	if c.Rounds > 0 {
		rounds = min(rounds, c.Rounds)
	}
	comparison, err := c.Open(ctx, cases.Env{Binary: s.binary, Lasts: s.lasts, Rounds: rounds, Short: s.short, Profiles: s.profiled()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, comparison.Close()) }()
	pairs, err = round.Run(ctx, rounds, comparison.Ours, comparison.Baseline, nil)
	if err == nil && s.profiled() && comparison.Profile != nil {
		err = s.profile(ctx, comparison, c.Name)
	}
	return pairs, err
}

// profiled tells whether profiles are wanted.
func (s *settings) profiled() bool { return s.profiles != "" || s.tops != "" }

func say(format string, args ...any) { _, _ = fmt.Fprintf(os.Stderr, format+"\n", args...) }

// again writes a report that was made before.
func (s *settings) again() error {
	file, err := os.Open(s.from)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	r, err := report.Read(file)
	if err != nil {
		return fmt.Errorf("%s: %w", s.from, err)
	}
	return s.write(r)
}

func (s *settings) write(r *report.Report) error {
	var err error
	switch s.format {
	case "json":
		err = r.WriteJSON(os.Stdout)
	case "markdown":
		err = r.WriteMarkdown(os.Stdout)
	case "planning":
		err = r.WritePlanning(os.Stdout, s.from)
	default:
		err = r.WriteTable(os.Stdout)
	}
	return errors.Join(err, into(s.json, r.WriteJSON), into(s.plot, r.WritePlot))
}

// into writes a file; no name is none.
func into(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
