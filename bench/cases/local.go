package cases

import (
	"fmt"

	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/ours"
	"github.com/peerbus/peerbus/internal/local"
)

// localDelivery is the delivery from one program to another one at the same bus.
func localDelivery() []Case {
	all := []Case{
		{
			Name: "bus-local-64", What: "bus, local delivery, 64 B", Beside: besideRelay,
			Goals: []round.Goal{round.Least(round.Throughput, 5), round.Most(round.CPU, 0.2)},
			Open:  beside(of(ours.Local, local.Separate), grpcRelay, oneWay(64)),
		},
		{
			Name: "bus-local-64-one", What: "the same, all-in-one", Beside: besideRelay,
			Open: beside(of(ours.Local, local.AllInOne), grpcRelay, oneWay(64)),
		},
	}
	for _, at := range []struct {
		size int
		name string
		goal float64
	}{{64, "64 B", 1.2}, {1 << 10, "1 KiB", 1}, {16 << 10, "16 KiB", 1.1}} {
		all = append(all, Case{
			Name: fmt.Sprintf("bus-nats-%d", at.size), What: "bus, local delivery, " + at.name, Beside: besideNATS,
			Goals: []round.Goal{round.Least(round.Throughput, at.goal)},
			Open:  beside(of(ours.Local, local.Separate), natsServer, oneWay(at.size)),
		})
	}
	return append(all, Case{
		Name: "bus-nats-1024-kept", What: "the same, 1 KiB, with a handler that may keep messages", Beside: besideNATS,
		Open: beside(keeping(ours.Local), natsServer, oneWay(1<<10)),
	})
}
