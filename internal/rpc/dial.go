package rpc

import (
	"context"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	_ "google.golang.org/grpc/health" // looks at the health of servers, for Spread
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/test/bufconn"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/codec"
)

// memoryBuffer is the size in bytes of an in-memory connection's buffer: a few
// batches, so that neither side waits for the other's scheduling.
const memoryBuffer = 256 << 10

// Dial makes a connection that is opened when it is first used and comes back
// by itself. Calls wait until it is there; bound them by their context. A target may be
// HOST:PORT or unix:///PATH, or several with commas between them: the first of them that
// answers is used, until it does so no more.
func Dial(target string, s Security, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	creds, err := s.clientCredentials()
	if err != nil {
		return nil, err
	}
	if _, err := UnixPath(target); err != nil && !strings.Contains(target, ",") {
		return nil, fault.New(fault.BadRequest, "address %q: %w", target, err)
	}
	if s.abstract() {
		opts = append(Near(target), opts...)
	}
	target, opts = Listed(target, opts)
	opts = append(append(DialOptions(), grpc.WithTransportCredentials(creds)), opts...)
	conn, err := grpc.NewClient(target, opts...)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "address %q: %w", target, err)
	}
	return conn, nil
}

// Listed makes a target of several addresses with commas between them.
func Listed(target string, opts []grpc.DialOption) (string, []grpc.DialOption) {
	if !strings.Contains(target, ",") {
		return target, opts
	}
	all := manual.NewBuilderWithScheme("replicas")
	var state resolver.State
	for addr := range strings.SplitSeq(target, ",") {
		addr = strings.TrimSpace(addr)
		name := addr // each has a certificate of its own
		if strings.HasPrefix(addr, UnixScheme) {
			name = "localhost" // as gRPC itself calls it
		}
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{
			Addresses: []resolver.Address{{Addr: addr, ServerName: name}},
		})
	}
	all.InitialState(state)
	return all.Scheme() + ":///replicas", append(opts, grpc.WithResolvers(all))
}

// Spread has the calls of a connection to several servers, or to a name that leads to
// several, go to those that say that they serve, in turn. It opens a connection to each.
func Spread() grpc.DialOption {
	return grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}],"healthCheckConfig":{"serviceName":""}}`)
}

// DialOptions are those of every connection but its credentials: the size of its
// frames, how it comes back, and how a dead peer is noticed.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(
			grpc.WaitForReady(true),
			grpc.ForceCodecV2(codec.GRPC{}),
			grpc.MaxCallRecvMsgSize(MaxFrame),
			grpc.MaxCallSendMsgSize(MaxFrame),
		),
		grpc.WithStaticStreamWindowSize(StreamWindow),
		grpc.WithStaticConnWindowSize(ConnWindow),
		experimental.WithBufferPool(codec.Buffers),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: retry.DefaultMin, Multiplier: 1.6, Jitter: 0.2, MaxDelay: retry.DefaultMax,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: PingTime, Timeout: PingTimeout}),
	}
}

// Memory is a listener without a socket, for services in one process. Its
// address is reached by Dial alone, so it has no TLS.
type Memory struct{ *bufconn.Listener }

// NewMemory makes a Memory.
func NewMemory() *Memory { return &Memory{bufconn.Listen(memoryBuffer)} }

// Dial makes a connection to it.
func (m *Memory) Dial() (*grpc.ClientConn, error) {
	opts := append(DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return m.DialContext(ctx) }),
	)
	return grpc.NewClient("passthrough:///memory", opts...)
}
