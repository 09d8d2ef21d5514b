package cases

import (
	"context"
	"errors"
	"fmt"

	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/ours"
	"github.com/peerbus/peerbus/internal/local"
)

// direct is the delivery over a data channel.
func direct() []Case {
	var all []Case
	for _, at := range []struct {
		size int
		name string
		goal float64
	}{{64, "64 B", 2}, {1 << 10, "1 KiB", 0.85}, {16 << 10, "16 KiB", 0.85}} {
		all = append(all, Case{
			Name: fmt.Sprintf("p2p-%d", at.size), What: "P2P, client to remote client, " + at.name, Beside: besidePion,
			Goals: []round.Goal{round.Least(round.Throughput, at.goal)},
			Open:  beside(of(ours.Direct, local.Separate), pion, oneWay(at.size)),
		})
	}
	return append(all, Case{
		Name: "p2p-flows", What: "P2P, 1 KiB, in flows (exactly once, in order)", Beside: "the same without flows",
		Goals: []round.Goal{round.Least(round.Throughput, 0.95)},
		Open:  beside(of(ours.Direct, local.Separate), of(ours.Plain, local.Separate), oneWay(1<<10)),
	}, Case{
		Name: "p2p-request", What: "P2P, request and response", Beside: "raw pion round trip and two grpc-go relays",
		Goals: []round.Goal{round.Most(round.Latency, 1)},
		Open:  besideParts,
	})
}

// besideParts compares a request with what its way is made of: a relay at each side, and
// the data channel between.
func besideParts(ctx context.Context, env Env) (_ *Comparison, err error) {
	c := &Comparison{}
	err = c.open(ctx, env, of(ours.Direct, local.Separate), roundTrip)
	sum := round.Sum{Of: []round.Metric{round.Latency, round.CPU, round.Allocs}}
	half := env
	half.Lasts /= 2 // both parts together take as long as our side
	for _, part := range []struct {
		open  opener
		times float64
	}{{answeringPion, 1}, {answeringRelay, 2}} {
		if err != nil {
			break
		}
		p := round.Part{Times: part.times}
		p.Side, err = c.side(ctx, half, part.open, roundTrip)
		sum.Parts = append(sum.Parts, p)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.Baseline = sum
	return c, nil
}
