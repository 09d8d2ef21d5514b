package baseline

import (
	"context"
	"errors"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/internal/local"
)

// Streams is a server of raw streams, and a crowd that is to open them.
func Streams(ctx context.Context) (*drive.Stand, error) {
	addr, err := local.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	server, err := worker.Start(ctx, StreamsRole, StreamsConfig{addr[0]})
	if err != nil {
		return nil, err
	}
	crowd, err := worker.Start(ctx, CrowdRole, StreamsConfig{addr[0]})
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return &drive.Stand{Server: server.PID(), Crowd: crowd, Closers: []func() error{server.Close, crowd.Close}}, nil
}
