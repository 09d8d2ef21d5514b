package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	return s.reached(f(ctx, conn))
}

// reached says what to do when the service could not be reached at all.
func (s *clientSettings) reached(err error) error {
	var own *fault.Error
	st, ok := status.FromError(err)
	if err == nil || !ok || errors.As(err, &own) {
		return err
	}
	switch {
	case st.Code() == codes.Unimplemented:
		return fault.New(fault.NotFound, "what answers at %s is another service: is the address right?", s.addr)
	case strings.Contains(st.Message(), "first record does not look like a TLS handshake"):
		return fault.New(fault.Unavailable, "%s does not speak TLS: leave the --tls flags out", s.addr)
	case strings.Contains(st.Message(), "error reading server preface"):
		return fault.New(fault.Unavailable, "%s answers nothing that we understand: does it want TLS (--tls-ca)?", s.addr)
	case st.Code() == codes.Unavailable && isTransport(st.Message()):
		return fault.New(fault.Unavailable, "nothing answers at %s: is the service running, and is its address right? (%s)", s.addr, st.Message())
	case st.Code() == codes.DeadlineExceeded:
		return fault.New(fault.Timeout, "time ran out: --timeout gives it longer, `peerbus status` shows what is up")
	}
	return err
}

// isTransport tells gRPC's own words from those of a service.
func isTransport(text string) bool {
	return notConnected(text) || hasPrefix(text, "closing transport", "error reading from server")
}

// notConnected tells gRPC's words for a service that was never reached.
func notConnected(text string) bool {
	return hasPrefix(text, "connection error", "name resolver error")
}

func hasPrefix(text string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(text, p) })
}

// dial connects without waiting: a command that finds nobody there says so.
func (s *clientSettings) dial() (*grpc.ClientConn, error) {
	if s.timeout <= 0 {
		return nil, fault.New(fault.BadRequest, "timeout must be more than 0")
	}
	return rpc.Dial(s.addr, s.security, grpc.WithDefaultCallOptions(grpc.WaitForReady(false)))
}
