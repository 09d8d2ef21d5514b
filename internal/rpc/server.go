package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// Bounds of every server and connection.
const (
	// MaxFrame is the largest gRPC frame in bytes: a frame holds one message of
	// the largest size, or a batch that stops growing at 60 KiB, and some room
	// for the fields around it.
	MaxFrame = message.MaxSize + 256<<10
	// StreamWindow and ConnWindow are how many bytes may be under way on a stream and
	// on a connection. That they are fixed saves gRPC the measuring of the link, which
	// takes a third of the time of a short round trip. A stream that is not read keeps a
	// megabyte; over 50 ms one takes 20 MB/s.
	StreamWindow = 1 << 20
	ConnWindow   = 4 << 20
	// MaxStreams bounds the streams of one connection: a client library needs
	// few, and each costs memory.
	MaxStreams = 1024
	// StopTimeout bounds a graceful stop: calls under way end within, and the
	// long-lived streams, which do not, are cut then and come back elsewhere.
	StopTimeout = 300 * time.Millisecond
	// PingTime is how long a connection may be silent before it is checked,
	// and PingTimeout how long an answer may take: a dead peer is found in 15 s.
	PingTime    = 10 * time.Second
	PingTimeout = 5 * time.Second
)

// Server is a gRPC server that says how it is: while Serve serves, each service that
// is registered is SERVING under its name, unless it says otherwise (Say), and all
// together under the empty one.
type Server struct {
	*grpc.Server
	health *health.Server

	mu   sync.Mutex
	said map[string]healthpb.HealthCheckResponse_ServingStatus // by service
}

// NewServer makes a gRPC server with the process's security, bounds, health and
// reflection. A panic in a handler ends the call, not the process.
func NewServer(s Security, log *slog.Logger) (*Server, error) {
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(codec.GRPC{}),
		grpc.MaxRecvMsgSize(MaxFrame),
		grpc.MaxSendMsgSize(MaxFrame),
		grpc.MaxConcurrentStreams(MaxStreams),
		grpc.StaticStreamWindowSize(StreamWindow),
		grpc.StaticConnWindowSize(ConnWindow),
		experimental.BufferPool(codec.Buffers),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: PingTime, Timeout: PingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: PingTime / 2, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(recoverUnary(log)),
		grpc.StreamInterceptor(recoverStream(log)),
	}
	cfg, err := s.ServerTLS()
	if err != nil {
		return nil, err
	}
	if cfg != nil {
		opts = append(opts, grpc.Creds(PlainOnUnix(credentials.NewTLS(cfg))))
	}
	srv := &Server{Server: grpc.NewServer(opts...), health: health.NewServer(), said: map[string]healthpb.HealthCheckResponse_ServingStatus{}}
	healthpb.RegisterHealthServer(srv, srv.health)
	reflection.Register(srv)
	return srv, nil
}

// Leave says of each service that it is NOT_SERVING, so that who has several servers to
// choose from (Spread) takes another one. The server serves on.
func (s *Server) Leave() { s.health.Shutdown() }

// Say says of one service whether it is SERVING: that it is not is for those who ask by
// its name. The empty name is as it is, and connections stay.
func (s *Server) Say(service string, serving bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said[service] = healthpb.HealthCheckResponse_NOT_SERVING
	if serving {
		s.said[service] = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus(service, s.said[service])
}

// begin says of all services that they are SERVING of which nothing is said yet.
func (s *Server) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for service := range s.GetServiceInfo() {
		if _, said := s.said[service]; !said {
			s.health.SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
		}
	}
}

// Serve serves on all listeners until ctx is done. Then it says of each service that it
// is NOT_SERVING, and stops gracefully within StopTimeout.
func Serve(ctx context.Context, srv *Server, listeners ...net.Listener) error {
	srv.begin()
	parts := []run.Func{func(ctx context.Context) error {
		<-ctx.Done()
		stop(srv)
		return nil
	}}
	for _, lis := range listeners {
		parts = append(parts, func(context.Context) error {
			err := srv.Serve(lis)
			if errors.Is(err, grpc.ErrServerStopped) {
				return nil
			}
			return err
		})
	}
	return run.All(ctx, parts...)
}

func stop(srv *Server) {
	srv.health.Shutdown()
	hard := time.AfterFunc(StopTimeout, srv.Stop)
	defer hard.Stop()
	srv.GracefulStop()
}

func recoverUnary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
		defer recovered(log, info.FullMethod, &err)
		return next(ctx, req)
	}
}

func recoverStream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		defer recovered(log, info.FullMethod, &err)
		return next(srv, stream)
	}
}

func recovered(log *slog.Logger, method string, err *error) {
	if p := recover(); p != nil {
		log.Error("panic in a call", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = fault.New(fault.Internal, "internal error in %s", method)
	}
}
