package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/message"
)

// clientSettings are those of the commands that talk to a running runtime.
type clientSettings struct {
	security     rpc.Security
	busAddr      string
	registryAddr string
	timeout      time.Duration
	output       output
}

// busFlags are those of a command that talks to the bus alone. Its completion asks
// the registry.
func (s *clientSettings) busFlags(c *cobra.Command) {
	s.busFlag(c)
	s.registryFlag(c)
	_ = c.Flags().MarkHidden(flagRegistryAddr) // fails for a flag that is not there
	s.commonFlags(c)
}

// registryFlags are those of a command that talks to the registry alone.
func (s *clientSettings) registryFlags(c *cobra.Command) {
	s.registryFlag(c)
	s.commonFlags(c)
}

// bothFlags are those of a command that talks to both.
func (s *clientSettings) bothFlags(c *cobra.Command) {
	s.busFlag(c)
	s.registryFlag(c)
	s.commonFlags(c)
}

func (s *clientSettings) busFlag(c *cobra.Command) {
	c.Flags().StringVar(&s.busAddr, flagBusAddr, defaultBusAddr, "`HOST:PORT` or unix:///PATH of the bus")
}

func (s *clientSettings) registryFlag(c *cobra.Command) {
	c.Flags().StringVar(&s.registryAddr, flagRegistryAddr, defaultRegistryAddr, "`HOST:PORT` or unix:///PATH of the registry")
}

func (s *clientSettings) commonFlags(c *cobra.Command) {
	c.Flags().String(flagAddr, "", "`HOST:PORT` or unix:///PATH of bus and registry, where they have the same")
	c.Flags().String(flagContext, "", "`NAME` of the context to use (default: the current one; see peerbus context)")
	securityFlags(c.Flags(), &s.security)
	c.Flags().DurationVar(&s.timeout, "timeout", 15*time.Second, "how long to wait")
	s.output.flag(c.Flags())
	complete(c, flagOutput, words("table", "json"))
}

// withRegistry calls f with the registry, within the timeout.
func (s *clientSettings) withRegistry(ctx context.Context, f func(context.Context, pb.RegistryClient) error) error {
	return s.with(ctx, s.registryAddr, func(ctx context.Context, c *grpc.ClientConn) error {
		return f(ctx, pb.NewRegistryClient(c))
	})
}

func (s *clientSettings) with(ctx context.Context, addr string, f func(context.Context, *grpc.ClientConn) error) error {
	conn, err := s.dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return reached(addr, f(ctx, conn))
}

// dial connects without waiting: a command that finds nobody there says so.
func (s *clientSettings) dial(addr string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	if err := s.checkTimeout(); err != nil {
		return nil, err
	}
	return rpc.Dial(addr, s.security, append(opts, grpc.WithDefaultCallOptions(grpc.WaitForReady(false)))...)
}

func (s *clientSettings) checkTimeout() error {
	if s.timeout > 0 {
		return nil
	}
	return message.CheckTime(s.timeout)
}

// reached says what to do when the service at addr could not be reached at all.
func reached(addr string, err error) error {
	var own *fault.Error
	st, ok := status.FromError(err)
	if err == nil || !ok || errors.As(err, &own) {
		return err
	}
	switch {
	case st.Code() == codes.Unimplemented:
		return fault.New(fault.NotFound, "what answers at %s is another service: is the address right?", addr)
	case strings.Contains(st.Message(), "first record does not look like a TLS handshake"):
		return fault.New(fault.Unavailable, "%s does not speak TLS: leave the --tls flags out", addr)
	case strings.Contains(st.Message(), "error reading server preface"):
		return fault.New(fault.Unavailable, "%s answers nothing that we understand: does it want TLS (--tls-ca)?", addr)
	case fault.Broken(err):
		return fault.New(fault.Unavailable, "nothing answers at %s: is the service running, and is its address right? (%s)", addr, st.Message())
	case st.Code() == codes.DeadlineExceeded && isOwnDeadline(st.Message()):
		return fault.New(fault.Timeout, "time ran out: --timeout gives it longer, `peerbus status` shows what is up")
	}
	return err
}

// whyTime is how long an answer to why there is none may take: the timeout is over.
const whyTime = time.Second

// noBus says why no bus has answered at addr within the timeout: a client of the bus does
// not tell, since it tries again.
func (s *clientSettings) noBus(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, whyTime)
	defer cancel()
	conn, err := s.dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: pb.MessageBus_ServiceDesc.ServiceName})
	if status.Code(err) == codes.NotFound {
		err = status.Error(codes.Unimplemented, "no bus")
	}
	var why *fault.Error
	if errors.As(reached(addr, err), &why) && why.Code != fault.Timeout {
		return why
	}
	return fault.New(fault.Unavailable, "nothing answers at %s: is the bus running, and is its address right?", addr)
}

// isOwnDeadline tells the end of this command's own time from a service's word.
func isOwnDeadline(text string) bool { return strings.Contains(text, "context deadline exceeded") }
