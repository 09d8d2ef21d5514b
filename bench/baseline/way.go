package baseline

import (
	"context"
	"time"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/server"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/internal/local"
)

// startTime bounds the start of all processes.
const startTime = 30 * time.Second

// Relay is the way over a gRPC server, from client to client, over an abstract unix socket,
// as ours is on one machine.
func Relay(ctx context.Context) (*drive.Way, error) {
	addr, err := local.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	name := "bench-relay/" + addr[0] // that of a port is of nobody else
	return relayWay(ctx, RelayConfig{"unix", "@" + name}, "unix-abstract:"+name, false)
}

// AnsweringRelay is the way over TCP, and its other client sends back what comes.
func AnsweringRelay(ctx context.Context) (*drive.Way, error) {
	addr, err := local.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	return relayWay(ctx, RelayConfig{"tcp", addr[0]}, addr[0], true)
}

func relayWay(ctx context.Context, cfg RelayConfig, target string, answers bool) (*drive.Way, error) {
	return way(ctx,
		start{RelayRole, cfg},
		start{RelayEndRole, RelayEndConfig{Target: target, Own: "b", To: "a", Answers: answers}},
		start{RelayEndRole, RelayEndConfig{Target: target, Own: "a", To: "b"}},
	)
}

// NATS is the way over a NATS server, from publisher to subscriber.
func NATS(ctx context.Context) (*drive.Way, error) { return NATSFan(ctx, load.Fan{}) }

// NATSFan is NATS with a subject for each listener, and a subscription for it.
func NATSFan(ctx context.Context, fan load.Fan) (*drive.Way, error) {
	addr, err := local.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	url := "nats://" + addr[0]
	return way(ctx,
		start{NATSRole, server.NATSConfig{Addr: addr[0]}},
		start{NATSEndRole, NATSEndConfig{URL: url, Own: "b", To: "a", Fan: fan}},
		start{NATSEndRole, NATSEndConfig{URL: url, Own: "a", To: "b", Fan: fan}},
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
