package baseline

import (
	"context"
	"time"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/server"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/internal/local"
)

// startTime bounds the start of all processes.
const startTime = 30 * time.Second

// Relay is the way over a gRPC server, from client to client, over TCP.
func Relay(ctx context.Context) (*drive.Way, error) { return relayWay(ctx, false) }

// AnsweringRelay is Relay whose other client sends back what comes.
func AnsweringRelay(ctx context.Context) (*drive.Way, error) { return relayWay(ctx, true) }

func relayWay(ctx context.Context, answers bool) (*drive.Way, error) {
	addr, err := local.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	return way(ctx,
		start{RelayRole, RelayConfig{"tcp", addr[0]}},
		start{RelayEndRole, RelayEndConfig{Target: addr[0], Own: "b", To: "a", Answers: answers}},
		start{RelayEndRole, RelayEndConfig{Target: addr[0], Own: "a", To: "b"}},
	)
}

// NATS is the way over a NATS server, from publisher to subscriber.
func NATS(ctx context.Context) (*drive.Way, error) { return NATSListeners(ctx, 1) }

// NATSListeners is NATS with so many subjects, each with a subscription.
func NATSListeners(ctx context.Context, n int) (*drive.Way, error) {
	addr, err := local.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	url := "nats://" + addr[0]
	return way(ctx,
		start{NATSRole, server.NATSConfig{Addr: addr[0]}},
		start{NATSEndRole, NATSEndConfig{URL: url, Own: "b", To: "a", Listeners: n}},
		start{NATSEndRole, NATSEndConfig{URL: url, Own: "a", To: "b", Listeners: n}},
	)
}

// start is a worker to start.
type start struct {
	role   string
	config any
}

// way starts workers, of which the last one is where messages come from, and the one
// before it where they go.
func way(ctx context.Context, all ...start) (*drive.Way, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	w := &drive.Way{}
	for _, s := range all {
		p, err := worker.Start(ctx, s.role, s.config)
		if err != nil {
			_ = w.Close()
			return nil, err
		}
		w.Join(p)
		w.To, w.From = w.From, p
	}
	return w, nil
}
