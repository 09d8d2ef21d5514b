package baseline

import (
	"context"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/internal/local"
)

// EmptyRole is a gRPC server with nothing but health, and a NATS server with JetStream
// in the same process.
const EmptyRole = "empty"

// EmptyConfig of it.
type EmptyConfig struct {
	Addr string
	NATS NATSConfig
}

// NewEmpty is the Role.
func NewEmpty(ctx context.Context, cfg EmptyConfig) (worker.Ops, error) {
	if _, err := NewNATS(ctx, cfg.NATS); err != nil {
		return nil, err
	}
	lis, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	context.AfterFunc(ctx, server.Stop)
	go func() { _ = server.Serve(lis) }() // until Stop
	return load.WithMemory(worker.Ops{}), nil
}

// Empty starts it, with an empty store of its own.
func Empty(ctx context.Context) (*drive.Started, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	addrs, err := local.FreeAddrs(2)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peerbus-bench-")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	p, err := worker.Start(ctx, EmptyRole, EmptyConfig{addrs[0], NATSConfig{addrs[1], dir}})
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	took := time.Since(began)
	return &drive.Started{PID: p.PID(), Took: took, Close: func() error {
		defer func() { _ = os.RemoveAll(dir) }()
		return p.Close()
	}}, nil
}
