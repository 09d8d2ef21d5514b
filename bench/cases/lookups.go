package cases

import (
	"context"

	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/micro"
)

var (
	lookUp     = round.Metric{Name: "look-up", Unit: "ns"}
	perAddress = round.Metric{Name: "heap", Unit: "B/address"}
)

// lookups are in one process, of a million addresses, asked for in no order.
func lookups() []Case {
	const times = 500_000 // of each round, both sides together: half a second
	return []Case{
		{
			Name: "registry-resolve", What: "registry, resolve, a million addresses, in process", Beside: "a Go map",
			Goals: []round.Goal{round.Most(lookUp, 1.5)},
			Open: benchmark(micro.Benchmark{
				Package: "services/registry", Name: "BenchmarkResolveMillion", Unit: "ns/address", Metric: lookUp, Times: times,
			}),
		},
		{
			Name: "bus-route", What: "bus, route of a known address, a million of them, in process", Beside: "a Go map",
			Goals: []round.Goal{round.Most(lookUp, 1.5)},
			Open: benchmark(micro.Benchmark{
				Package: "services/bus", Name: "BenchmarkRouteMillion", Unit: "ns/address", Metric: lookUp, Times: times,
			}),
		},
		{
			Name: "registry-memory", What: "registry, memory of an address, of a million", Beside: "a Go map, key and value",
			Goals: []round.Goal{round.Most(perAddress, 1.3)},
			Open: benchmark(micro.Benchmark{
				Package: "services/registry", Name: "BenchmarkAddressMemory", Unit: "B/address", Metric: perAddress, Times: 1,
			}),
		},
		{
			Name: "bus-listeners", What: "bus, memory of a listener to which nothing is sent, of a million", Beside: "a Go map, key and value",
			Rounds: 1, // it takes a while, and is the same each time
			Open: benchmark(micro.Benchmark{
				Package: "services/bus", Name: "BenchmarkListenerMemory", Unit: "B/address", Metric: perAddress, Times: 1,
			}),
		},
	}
}

func benchmark(b micro.Benchmark) func(context.Context, Env) (*Comparison, error) {
	return func(ctx context.Context, env Env) (*Comparison, error) {
		b.Counts, b.Short = env.Rounds, env.Short
		run, err := b.Start(ctx)
		if err != nil {
			return nil, err
		}
		c := &Comparison{Profile: run.Profile, closers: []func() error{run.Close}}
		c.Ours, c.Baseline = run.Sides()
		return c, nil
	}
}
