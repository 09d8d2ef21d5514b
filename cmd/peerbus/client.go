package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// clientSettings are those of the commands that talk to a running runtime.
type clientSettings struct {
	security rpc.Security
	addr     string
	timeout  time.Duration
	output   output
}

func (s *clientSettings) busFlags(c *cobra.Command) {
	c.Flags().StringVar(&s.addr, flagBusAddr, defaultBusAddr, "`HOST:PORT` of the bus")
	s.flags(c)
}

func (s *clientSettings) registryFlags(c *cobra.Command) {
	c.Flags().StringVar(&s.addr, flagRegistryAddr, defaultRegistryAddr, "`HOST:PORT` of the registry")
	s.flags(c)
}

func (s *clientSettings) flags(c *cobra.Command) {
	securityFlags(c.Flags(), &s.security)
	c.Flags().DurationVar(&s.timeout, "timeout", 15*time.Second, "how long to wait")
	s.output.flag(c.Flags())
}

// withBus calls f with the bus, within the timeout.
func (s *clientSettings) withBus(ctx context.Context, f func(context.Context, pb.MessageBusClient) error) error {
	return s.with(ctx, func(ctx context.Context, c *grpc.ClientConn) error { return f(ctx, pb.NewMessageBusClient(c)) })
}

// withRegistry calls f with the registry, within the timeout.
func (s *clientSettings) withRegistry(ctx context.Context, f func(context.Context, pb.RegistryClient) error) error {
	return s.with(ctx, func(ctx context.Context, c *grpc.ClientConn) error { return f(ctx, pb.NewRegistryClient(c)) })
}

func (s *clientSettings) with(ctx context.Context, f func(context.Context, *grpc.ClientConn) error) error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return f(ctx, conn)
}

// dial connects without waiting: a command that finds nobody there says so.
func (s *clientSettings) dial() (*grpc.ClientConn, error) {
	if s.timeout <= 0 {
		return nil, fault.New(fault.BadRequest, "timeout must be more than 0")
	}
	return rpc.Dial(s.addr, s.security, grpc.WithDefaultCallOptions(grpc.WaitForReady(false)))
}
