package cases

import (
	"context"
	"errors"
	"time"

	"github.com/peerbus/peerbus/bench/apart"
	"github.com/peerbus/peerbus/bench/baseline"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/ours"
)

// setUps are over a link of 50 ms, there and back, between two namespaces.
func setUps() []Case {
	return []Case{{
		Name: "set-up", What: "set-up at 50 ms, first post to live; first message while no connection is up",
		Beside: "raw pion v3 at its defaults, offer to open; one round trip of the link",
		Goals: []round.Goal{
			round.Most(drive.SetUp, 0.76), round.Most(drive.SetUpTail, 0.34),
			round.Most(drive.First, 1.05), round.Most(drive.SetUpCPU, 1.3),
		},
		Open: openSetUps,
	}}
}

func openSetUps(ctx context.Context, env Env) (_ *Comparison, err error) {
	const roundTrip = 50 * time.Millisecond
	number := 10
	if env.Short {
		number = 2
	}
	c := &Comparison{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	pair, err := apart.New(ctx, roundTrip)
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, pair.Close)
	mine, end, err := ours.SetUps(ctx, ours.Program{Binary: env.Binary, Profiles: env.Profiles}, pair, number)
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, end)
	raw, end, err := baseline.SetUps(ctx, pair, number)
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, end)
	c.Ours, c.Baseline, c.Profile = mine, raw, mine.Profile
	return c, nil
}
