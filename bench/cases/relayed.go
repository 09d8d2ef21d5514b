package cases

import (
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/ours"
	"github.com/peerbus/peerbus/internal/local"
)

// relayed is the delivery over the Message Node.
func relayed() []Case {
	return []Case{{
		Name: "node-1024", What: "over the Message Node (two nodestubs, one msgnode), 1 KiB", Beside: besideNATS,
		Goals: []round.Goal{round.Least(round.Throughput, 0.5)},
		Open:  beside(of(ours.Relayed, local.Separate), natsServer, oneWay(1<<10)),
	}}
}
