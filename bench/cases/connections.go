package cases

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peerbus/peerbus/bench/baseline"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/ours"
)

// connections are those of one p2pstub over which nothing is sent.
func connections() []Case {
	const number, short = 2000, 8
	return []Case{{
		Name: "p2p-idle", What: fmt.Sprintf("%d idle connections in one p2pstub", number), Beside: "raw pion v3 at its defaults",
		Goals: []round.Goal{
			round.Most(drive.ConnectionHeap, 0.7), round.Most(drive.ConnectionMemory, 1), round.Most(drive.ConnectionCPU, 1.1),
		},
		Open: func(ctx context.Context, env Env) (*Comparison, error) {
			if env.Short {
				return openHolders(ctx, env, short, env.Lasts)
			}
			return openHolders(ctx, env, number, 3*time.Second)
		},
	}}
}

func openHolders(ctx context.Context, env Env, number int, lasts time.Duration) (*Comparison, error) {
	mine, end, err := ours.Holder(ctx, ours.Program{Binary: env.Binary}, number, lasts)
	if err != nil {
		return nil, err
	}
	c := &Comparison{Ours: mine, Profile: mine.Profile, closers: []func() error{end}}
	raw, end, err := baseline.Holder(ctx, number, lasts)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.Baseline, c.closers = raw, append(c.closers, end)
	return c, nil
}
