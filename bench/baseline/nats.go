package baseline

import (
	"context"

	"github.com/peerbus/peerbus/bench/internal/server"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
)

// NATSRole is a NATS server.
const NATSRole = "nats-server"

// NewNATS is the Role.
func NewNATS(ctx context.Context, cfg server.NATSConfig) (worker.Ops, error) {
	if err := server.NATS(ctx, cfg); err != nil {
		return nil, err
	}
	return load.WithMemory(worker.Ops{}), nil
}
