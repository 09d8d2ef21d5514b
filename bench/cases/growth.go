package cases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peerbus/peerbus/bench/baseline"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/bench/ours"
	"github.com/peerbus/peerbus/internal/local"
)

// Growing is a comparison at several points of what grows.
type Growing struct {
	Name, What, Beside, Axis string
	// Note is a sentence on the comparison; may be empty.
	Note   string
	Draw   []round.Metric
	Points []GrowingPoint
	// Open starts what all points have in common.
	Open func(ctx context.Context, env Env) (*Grown, error)
}

// GrowingPoint is one of them.
type GrowingPoint struct {
	At    float64
	Label string
}

// Grown is a Growing that runs.
type Grown struct {
	// At gives the comparison at a point, which is closed before the next.
	At func(ctx context.Context, point int) (*Comparison, error)

	closers []func() error
}

// Close ends what Open has started.
func (g *Grown) Close() error {
	var errs []error
	for _, end := range slices.Backward(g.closers) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// open starts a way that lasts until Close.
func (g *Grown) open(ctx context.Context, env Env, way opener) (*drive.Way, error) {
	w, err := way(ctx, env)
	if err == nil {
		g.closers = append(g.closers, w.Close)
	}
	return w, err
}

// AllGrowing are the comparisons, in the order of the page. In short each has its first
// two points.
func AllGrowing(short bool) []Growing {
	all := slices.Concat(sizesOf(), []Growing{paths(), listeners(), bursts(), idleConnections()})
	for i := range all {
		if short {
			all[i].Points = all[i].Points[:2]
		}
	}
	return all
}

var perMessage = []round.Metric{round.Throughput, round.CPU}

// sizesOf are by the size of a message.
func sizesOf() []Growing {
	sizes := []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10}
	var points []GrowingPoint
	for _, size := range sizes {
		label := fmt.Sprintf("%d B", size)
		if size >= 1<<10 {
			label = fmt.Sprintf("%d KiB", size>>10)
		}
		points = append(points, GrowingPoint{float64(size), label})
	}
	var all []Growing
	for _, way := range []struct {
		name, what, beside string
		ours, baseline     opener
	}{
		{"size-bus", "Local delivery, by the size of a message", besideRelay, of(ours.Local, local.Separate), grpcRelay},
		{"size-p2p", "Over a data channel, by the size of a message", besidePion, of(ours.Direct, local.Separate), pion},
		{"size-node", "Over the Message Node, by the size of a message", besideNATS, of(ours.Relayed, local.Separate), natsServer},
	} {
		all = append(all, Growing{
			Name: way.name, What: way.what, Beside: way.beside, Axis: "message", Draw: perMessage, Points: slices.Clone(points),
			Open: func(ctx context.Context, env Env) (*Grown, error) {
				return openSizes(ctx, env, way.ours, way.baseline, sizes)
			},
		})
	}
	return all
}

// openSizes has the same processes for all sizes.
func openSizes(ctx context.Context, env Env, mine, raw opener, sizes []int) (_ *Grown, err error) {
	g := &Grown{}
	a, err := g.open(ctx, env, mine)
	if err != nil {
		return nil, err
	}
	b, err := g.open(ctx, env, raw)
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	g.At = func(ctx context.Context, i int) (c *Comparison, err error) {
		c = &Comparison{}
		if c.Ours, err = a.OneWay(ctx, sizes[i], env.Lasts); err == nil {
			c.Baseline, err = b.OneWay(ctx, sizes[i], env.Lasts)
		}
		return c, err
	}
	return g, nil
}

// paths are by how many processes a message passes, each beside one relay.
func paths() Growing {
	ways := []opener{of(ours.Local, local.Separate), of(ours.Direct, local.Separate), of(ours.Relayed, local.Separate)}
	return Growing{
		Name: "path", What: "1 KiB, and a request of 64 B, by the processes on the way", Beside: besideRelay,
		Note: "The baseline is one relay in each row: the same processes for all of them.", Axis: "processes between the programs",
		Draw:   []round.Metric{round.Throughput, round.CPU, round.Latency},
		Points: []GrowingPoint{{1, "1: bus"}, {2, "4: buses, stubs"}, {4, "5: Message Node"}}, // as far from one another
		Open: func(ctx context.Context, env Env) (_ *Grown, err error) {
			g := &Grown{}
			raw, err := g.bothWays(ctx, env, grpcRelay, answeringRelay)
			if err != nil {
				return nil, errors.Join(err, g.Close())
			}
			g.At = func(ctx context.Context, i int) (*Comparison, error) {
				point := &Grown{}
				mine, err := point.bothWays(ctx, env, ways[i], nil)
				return &Comparison{Ours: mine, Baseline: raw, closers: point.closers}, err
			}
			return g, nil
		},
	}
}

// bothWays measures messages one way, and requests: over the same processes, unless others
// answer.
func (g *Grown) bothWays(ctx context.Context, env Env, way, answering opener) (round.Side, error) {
	const size = 1 << 10
	w, err := g.open(ctx, env, way)
	if err != nil {
		return nil, err
	}
	there, err := w.OneWay(ctx, size, env.Lasts)
	if err != nil {
		return nil, err
	}
	if answering != nil {
		if w, err = g.open(ctx, env, answering); err != nil {
			return nil, err
		}
	}
	back, err := roundTrip(ctx, env, w)
	return thereAndBack{there, back}, err
}

// thereAndBack has the latency of the second besides the figures of the first.
type thereAndBack struct{ there, back round.Side }

// Measure is of round.Side.
func (s thereAndBack) Measure(ctx context.Context) (round.Sample, error) {
	sample, err := s.there.Measure(ctx)
	if err != nil {
		return nil, err
	}
	back, err := s.back.Measure(ctx)
	sample[round.Latency] = back[round.Latency]
	return sample, err
}

// listeners are those of one program at one bus; each gets as many messages as another.
func listeners() Growing {
	numbers := []int{1, 10, 100, 1000}
	var points []GrowingPoint
	for _, n := range numbers {
		points = append(points, GrowingPoint{float64(n), fmt.Sprint(n)})
	}
	return Growing{
		Name: "listeners", What: "Local delivery of 1 KiB, to one listener after the other", Beside: "NATS, subscriptions", Axis: "listeners",
		Draw: perMessage, Points: points,
		Open: fanned(1<<10, func(i int) load.Fan { return load.Fan{Listeners: numbers[i]} }),
	}
}

// bursts are of messages to one listener, of ten that have them in turn.
func bursts() Growing {
	numbers := []int{1, 2, 4, 8, 16, 64}
	var points []GrowingPoint
	for _, n := range numbers {
		points = append(points, GrowingPoint{float64(n), fmt.Sprint(n)})
	}
	return Growing{
		Name: "bursts", What: "Local delivery of 64 B to ten listeners, by the messages to one before the next one has its turn",
		Beside: "NATS, subscriptions", Axis: "messages to one",
		Draw: perMessage, Points: points,
		Open: fanned(64, func(i int) load.Fan { return load.Fan{Listeners: 10, Each: numbers[i]} }),
	}
}

// fanned opens the local delivery of messages of some size to several listeners, beside NATS.
func fanned(size int, fan func(i int) load.Fan) func(context.Context, Env) (*Grown, error) {
	return func(_ context.Context, env Env) (*Grown, error) {
		return &Grown{At: func(ctx context.Context, i int) (*Comparison, error) {
			return beside(func(ctx context.Context, env Env) (*drive.Way, error) {
				return ours.Local(ctx, ours.Program{Binary: env.Binary, Layout: local.Separate, Fan: fan(i)})
			}, func(ctx context.Context, _ Env) (*drive.Way, error) {
				return baseline.NATSFan(ctx, fan(i))
			}, oneWay(size))(ctx, env)
		}}, nil
	}
}

// idleConnections are those of one p2pstub.
func idleConnections() Growing {
	numbers := []int{25, 100, 400}
	return Growing{
		Name: "connections", What: "Idle connections of one p2pstub", Beside: "raw pion v3 at its defaults", Axis: "connections",
		Draw:   []round.Metric{drive.ConnectionMemory, drive.ConnectionHeap, drive.ConnectionCPU},
		Points: []GrowingPoint{{25, "25"}, {100, "100"}, {400, "400"}},
		Open: func(_ context.Context, env Env) (*Grown, error) {
			return &Grown{At: func(ctx context.Context, i int) (*Comparison, error) {
				if env.Short {
					return openHolders(ctx, env, i+1, env.Lasts)
				}
				return openHolders(ctx, env, numbers[i], 2*time.Second)
			}}, nil
		},
	}
}
