package ours

import (
	"context"
	"errors"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
)

// Node is a Message Node, and a crowd of runtimes that are to open sessions.
func Node(ctx context.Context, p Program) (*drive.Stand, error) {
	d, err := startDomain(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	crowd, err := worker.Start(ctx, SessionsRole, SessionsConfig{d.node.GRPCAddr})
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return &drive.Stand{Server: d.node.PID(), Crowd: crowd, Closers: []func() error{d.close, crowd.Close}}, nil
}
