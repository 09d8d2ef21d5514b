package round

import (
	"context"
	"fmt"
)

// Side is one of the two that are compared.
type Side interface {
	// Measure takes as long as a round takes.
	Measure(ctx context.Context) (Sample, error)
}

// Pair is what one round has shown.
type Pair struct{ Ours, Baseline Sample }

// Run measures both sides n times, and swaps who is first in each round. done is told
// of each round; it may be nil.
func Run(ctx context.Context, n int, ours, baseline Side, done func(Pair)) ([]Pair, error) {
	var pairs []Pair
	for i := range n {
		p, err := once(ctx, i%2 == 1, ours, baseline)
		if err != nil {
			return pairs, fmt.Errorf("round %d: %w", i+1, err)
		}
		pairs = append(pairs, p)
		if done != nil {
			done(p)
		}
	}
	return pairs, nil
}

func once(ctx context.Context, swapped bool, ours, baseline Side) (p Pair, err error) {
	steps := []func() error{
		func() (err error) { p.Ours, err = measured(ctx, "ours", ours); return err },
		func() (err error) { p.Baseline, err = measured(ctx, "baseline", baseline); return err },
	}
	if swapped {
		steps[0], steps[1] = steps[1], steps[0]
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return p, err
		}
	}
	return p, nil
}

func measured(ctx context.Context, name string, s Side) (Sample, error) {
	sample, err := s.Measure(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return sample, nil
}
