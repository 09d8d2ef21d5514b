package baseline

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
)

// Roles of raw streams: a server that answers the first message of each and keeps it,
// and a crowd of clients, each on a connection of its own.
const (
	StreamsRole = "grpc-streams"
	CrowdRole   = "grpc-crowd"
)

// StreamsConfig of the server.
type StreamsConfig struct{ Addr string }

// NewStreams is a Role.
func NewStreams(ctx context.Context, cfg StreamsConfig) (worker.Ops, error) {
	lis, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	desc := relayStream
	desc.Handler = func(_ any, s grpc.ServerStream) error {
		for {
			m := new(wrapperspb.BytesValue)
			if err := s.RecvMsg(m); err != nil {
				return nil // it has gone
			}
			if err := s.SendMsg(m); err != nil {
				return err
			}
		}
	}
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "bench.Relay", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{desc}}, nil)
	context.AfterFunc(ctx, server.Stop)
	go func() { _ = server.Serve(lis) }() // until Stop
	return load.WithMemory(worker.Ops{}), nil
}

// NewCrowd is a Role.
func NewCrowd(_ context.Context, cfg StreamsConfig) (worker.Ops, error) {
	return load.CrowdOps(func(int) load.Session { return &streamSession{addr: cfg.Addr} }), nil
}

// streamSession is one stream.
type streamSession struct {
	addr string
	conn *grpc.ClientConn
}

// Open connects, and sends one message there and back.
func (s *streamSession) Open(context.Context) (err error) {
	s.conn, err = grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	stream, err := s.conn.NewStream(context.Background(), &relayStream, relayMethod, grpc.WaitForReady(true)) // as long as the connection
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&wrapperspb.BytesValue{Value: load.Body(firstMessage)}); err != nil {
		return err
	}
	return stream.RecvMsg(new(wrapperspb.BytesValue))
}

// firstMessage is the size of what each stream begins with, in bytes: about that of what
// opens a session.
const firstMessage = 128

// Cut closes the connection.
func (s *streamSession) Cut() { _ = s.conn.Close() }
