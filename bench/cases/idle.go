package cases

import (
	"context"
	"errors"
	"time"

	"github.com/peerbus/peerbus/bench/baseline"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/ours"
)

// idle is a runtime that nobody uses.
func idle() []Case {
	return []Case{{
		Name: "idle-runtime", What: "idle all-in-one runtime", Beside: "empty grpc-go server with embedded NATS and JetStream",
		Goals: []round.Goal{round.Most(drive.Idle, 1.3), round.Most(drive.Starting, 1.5)},
		Open: func(ctx context.Context, env Env) (*Comparison, error) {
			lasts := 2 * time.Second
			if env.Short {
				lasts = env.Lasts
			}
			starter, err := ours.NewStarter(ctx, ours.Program{Binary: env.Binary, Profiles: env.Profiles})
			if err != nil {
				return nil, err
			}
			empty, err := baseline.BuildEmpty(ctx)
			if err != nil {
				return nil, errors.Join(err, starter.Close())
			}
			alone := drive.Solitude{Lasts: lasts, Start: starter.Start}
			return &Comparison{
				Ours:     alone,
				Profile:  alone.Profile,
				Baseline: drive.Solitude{Lasts: lasts, Start: empty.Start},
				closers:  []func() error{starter.Close, empty.Close},
			}, nil
		},
	}}
}
