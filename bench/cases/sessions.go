package cases

import (
	"context"

	"github.com/peerbus/peerbus/bench/baseline"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/ours"
)

// sessions are those of a Message Node. Each takes a file descriptor in two processes;
// Go raises their limit to what the system allows.
func sessions() []Case {
	return []Case{{
		Name: "node-sessions", What: "Message Node, 10,000 sessions", Beside: "as many raw grpc-go streams",
		Goals: []round.Goal{round.Most(drive.SessionMemory, 1.3), round.Most(drive.Opening, 2), round.Most(drive.Returning, 2)},
		Open: func(_ context.Context, env Env) (*Comparison, error) {
			n := 10_000
			if env.Short {
				n = 200
			}
			p := ours.Program{Binary: env.Binary}
			return &Comparison{
				Ours:     drive.Crowd{Number: n, Start: func(ctx context.Context) (*drive.Stand, error) { return ours.Node(ctx, p) }},
				Baseline: drive.Crowd{Number: n, Start: baseline.Streams},
			}, nil
		},
	}}
}
