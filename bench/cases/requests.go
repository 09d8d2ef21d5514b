package cases

import (
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/ours"
	"github.com/peerbus/peerbus/internal/local"
)

// requests are a request and its response at one bus, one under way at a time.
func requests() []Case {
	const there = "grpc-go relay, there and back"
	return []Case{
		{
			Name: "bus-request", What: "bus, request and response, idle", Beside: there + ", TCP",
			Goals: []round.Goal{round.Most(round.Latency, 1)},
			Open:  beside(of(ours.Local, local.Separate), answeringRelay, roundTrip),
		},
		{
			Name: "bus-request-unix", What: "the same over a unix socket", Beside: there + ", TCP",
			Goals: []round.Goal{round.Most(round.Latency, 0.7)},
			Open:  beside(overSockets(ours.Local), answeringRelay, roundTrip),
		},
	}
}
