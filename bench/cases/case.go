package cases

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/round"
)

// Env is what a case is measured with.
type Env struct {
	Binary string        // the peerbus program
	Lasts  time.Duration // of one side of a round
	Rounds int           // that follow
	Short  bool          // little of everything: what counts is that it runs
	// Profiles has our services serve profiles.
	Profiles bool
}

// Case is one comparison.
type Case struct {
	Name   string // such as bus-local-64
	What   string // ours, for people
	Beside string // the baseline, for people
	Goals  []round.Goal
	// Missing says why there is nothing to measure yet; empty otherwise.
	Missing string
	// Rounds are at most so many; 0 for as many as are asked for.
	Rounds int
	// Named is not part of the table: it is run when names are given, and in short.
	Named bool
	// Open starts both sides.
	Open func(ctx context.Context, env Env) (*Comparison, error)
}

// Comparison is a Case that runs.
type Comparison struct {
	Ours, Baseline round.Side
	// Profile writes CPU profiles of our processes into a directory; nil where there are
	// none.
	Profile func(ctx context.Context, dir, name string) error

	closers []func() error
}

// Close ends what Open has started.
func (c *Comparison) Close() error {
	var errs []error
	for _, end := range slices.Backward(c.closers) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// All are the cases, in the order of the table.
func All() []Case {
	return slices.Concat(localDelivery(), requests(), relayed(), direct(), lookups(), sessions(), idle(), setUps(), connections(), returns())
}

// opener starts a way.
type opener func(ctx context.Context, env Env) (*drive.Way, error)

// measure makes a side of a way.
type measure func(ctx context.Context, env Env, w *drive.Way) (round.Side, error)

// beside compares two ways that are measured alike.
func beside(ours, baseline opener, as measure) func(context.Context, Env) (*Comparison, error) {
	return func(ctx context.Context, env Env) (_ *Comparison, err error) {
		c := &Comparison{}
		if err = c.open(ctx, env, ours, as); err == nil {
			c.Baseline, err = c.side(ctx, env, baseline, as)
		}
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return c, nil
	}
}

// open starts our side.
func (c *Comparison) open(ctx context.Context, env Env, ours opener, as measure) error {
	w, err := ours(ctx, env)
	if err != nil {
		return err
	}
	c.closers = append(c.closers, w.Close)
	c.Profile = func(ctx context.Context, dir, name string) error { return w.Profile(ctx, c.Ours, dir, name) }
	c.Ours, err = as(ctx, env, w)
	return err
}

// side starts a way that ends with the comparison.
func (c *Comparison) side(ctx context.Context, env Env, open opener, as measure) (round.Side, error) {
	w, err := open(ctx, env)
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, w.Close)
	return as(ctx, env, w)
}

// oneWay measures messages of a size in bytes.
func oneWay(size int) measure {
	return func(ctx context.Context, env Env, w *drive.Way) (round.Side, error) {
		return w.OneWay(ctx, size, env.Lasts)
	}
}

// requestSize is that of requests and their answers, in bytes.
const requestSize = 64

func roundTrip(ctx context.Context, env Env, w *drive.Way) (round.Side, error) {
	return w.RoundTrip(ctx, requestSize, env.Lasts)
}
