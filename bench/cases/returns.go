package cases

import (
	"context"
	"fmt"
	"time"

	"github.com/peerbus/peerbus/bench/baseline"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/ours"
)

// returns are of connections whose process is stopped: for less than the 30 s after which
// pion's ICE fails for good, and for longer.
func returns() []Case {
	var all []Case
	for _, stopped := range []time.Duration{12 * time.Second, 45 * time.Second} {
		all = append(all, returnsAfter(stopped))
	}
	return all
}

func returnsAfter(stopped time.Duration) Case {
	const number, short = 600, 8
	return Case{
		Name:   fmt.Sprintf("p2p-return-%.0f", stopped.Seconds()),
		What:   fmt.Sprintf("%d idle connections of one p2pstub, which is stopped for %.0f s and goes on", number, stopped.Seconds()),
		Beside: "raw pion v3 at its defaults, which begins no connection anew",
		Named:  true, Rounds: 2,
		Open: func(_ context.Context, env Env) (*Comparison, error) {
			n, side := number, drive.Returns{Stopped: stopped, Watched: time.Minute, At: []time.Duration{16 * time.Second, time.Minute}}
			if env.Short {
				n, side = short, drive.Returns{Stopped: env.Lasts, Watched: env.Lasts, At: []time.Duration{0}}
			}
			mine, raw := side, side
			mine.Start = func(ctx context.Context) (drive.Holder, func() error, error) {
				return ours.Holder(ctx, ours.Program{Binary: env.Binary}, n, 0)
			}
			raw.Start = func(ctx context.Context) (drive.Holder, func() error, error) { return baseline.Holder(ctx, n, 0) }
			return &Comparison{Ours: mine, Baseline: raw}, nil
		},
	}
}
