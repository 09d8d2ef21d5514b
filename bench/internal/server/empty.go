package server

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/peerbus/peerbus/bench/internal/worker"
)

// EmptyRole is a gRPC server with nothing but health, and a NATS server with JetStream
// in the same process.
const EmptyRole = "empty"

// EmptyConfig of it.
type EmptyConfig struct {
	Addr string // of the gRPC server
	NATS NATSConfig
}

// NewEmpty is the Role.
func NewEmpty(ctx context.Context, cfg EmptyConfig) (worker.Ops, error) {
	if err := NATS(ctx, cfg.NATS); err != nil {
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
	return nil, nil
}
