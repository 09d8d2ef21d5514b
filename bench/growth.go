package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/peerbus/peerbus/bench/cases"
	"github.com/peerbus/peerbus/bench/internal/report"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/internal/fault"
)

// pointTime bounds one point of a curve, its processes' start among it.
const pointTime = 3 * time.Minute

// grow measures how cost grows, and writes it. A curve that fails does not keep the others
// from being measured.
func (s *settings) grow(ctx context.Context) error {
	some := s.chosenCurves()
	if len(some) == 0 {
		return fault.New(fault.BadRequest, "run: no curve matches %q", s.only).In("run")
	}
	program, err := s.program(ctx)
	if err != nil {
		return err
	}
	g := &report.Growth{Program: program, Rounds: s.rounds, Machine: report.ThisMachine(), Began: time.Now(), Short: s.short}
	for _, c := range some {
		if ctx.Err() != nil {
			break
		}
		g.Curves = append(g.Curves, s.curve(ctx, c))
	}
	g.Seconds = time.Since(g.Began).Seconds()
	if err := errors.Join(ctx.Err(), s.writeGrowth(g)); err != nil {
		return err
	}
	if n := g.Failed(); n > 0 {
		return fault.New(fault.Internal, "%d of %d curves could not be measured", n, len(g.Curves))
	}
	return nil
}

// curve measures all points of one, and says how it goes.
func (s *settings) curve(ctx context.Context, c cases.Growing) report.Curve {
	curve := report.Curve{Name: c.Name, What: c.What, Beside: c.Beside, Note: c.Note, Axis: c.Axis, Draw: c.Draw}
	began := time.Now()
	err := s.points(ctx, c, &curve)
	if err != nil {
		curve.Error = err.Error()
		say("%-20s failed: %v", c.Name, err)
		return curve
	}
	say("%-20s %d points, %.0f s", c.Name, len(curve.Points), time.Since(began).Seconds())
	return curve
}

func (s *settings) points(ctx context.Context, c cases.Growing, curve *report.Curve) (err error) {
	env := cases.Env{Binary: s.binary, Lasts: s.lasts, Rounds: s.rounds, Short: s.short}
	grown, err := c.Open(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, grown.Close()) }()
	for i, p := range c.Points {
		rows, err := s.point(ctx, grown, i)
		if err != nil {
			return fmt.Errorf("%s %s: %w", p.Label, c.Axis, err)
		}
		curve.Points = append(curve.Points, report.Point{At: p.At, Label: p.Label, Rows: rows})
	}
	return nil
}

func (s *settings) point(ctx context.Context, grown *cases.Grown, i int) (_ []round.Row, err error) {
	ctx, cancel := context.WithTimeout(ctx, pointTime)
	defer cancel()
	comparison, err := grown.At(ctx, i)
	if comparison != nil {
		defer func() { err = errors.Join(err, comparison.Close()) }()
	}
	if err != nil {
		return nil, err
	}
	pairs, err := round.Run(ctx, s.rounds, comparison.Ours, comparison.Baseline, nil)
	return round.Rows(pairs, nil), err
}

// growthAgain writes what was measured before.
func (s *settings) growthAgain() error {
	file, err := os.Open(s.from)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	g, err := report.ReadGrowth(file)
	if err != nil {
		return fmt.Errorf("%s: %w", s.from, err)
	}
	return s.writeGrowth(g)
}

func (s *settings) writeGrowth(g *report.Growth) error {
	write := g.WriteMarkdown
	if s.format == "json" {
		write = g.WriteJSON
	}
	errs := []error{write(os.Stdout), into(s.json, g.WriteJSON)}
	if s.plot != "" {
		for name, chart := range g.Charts() {
			errs = append(errs, into(filepath.Join(s.plot, name), func(w io.Writer) error {
				_, err := io.WriteString(w, chart)
				return err
			}))
		}
	}
	return errors.Join(errs...)
}
