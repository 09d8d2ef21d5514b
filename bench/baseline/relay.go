package baseline

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
)

// RelayRole is a gRPC server that passes messages on between two clients.
const RelayRole = "grpc-relay"

// RelayConfig of the server.
type RelayConfig struct {
	Network, Addr string // as of net.Listen
}

// Each client has one stream, and says in the metadata who it is and who gets what it
// sends. A message is a protobuf with one field of bytes, which is as little as a
// message can be.
const (
	relayMethod   = "/bench.Relay/Connect"
	ownKey, toKey = "own", "to"
)

var relayStream = grpc.StreamDesc{StreamName: "Connect", ServerStreams: true, ClientStreams: true}

// relayWindow is how many bytes may be under way on a stream, and on a connection. To
// say so is the one setting that was found to matter: grpc-go measures the link no more,
// which takes a third off the round trip. Tried without a gain: read and write buffers of
// 4 and of 128 KiB, a shared write buffer, stream workers. WriteBufferSize(0) costs twice
// as much.
const relayWindow = 4 << 20

func relayServer() *grpc.Server {
	return grpc.NewServer(grpc.InitialWindowSize(relayWindow), grpc.InitialConnWindowSize(relayWindow))
}

func relayConn(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(relayWindow), grpc.WithInitialConnWindowSize(relayWindow))
}

// NewRelay is the Role.
func NewRelay(ctx context.Context, cfg RelayConfig) (worker.Ops, error) {
	lis, err := net.Listen(cfg.Network, cfg.Addr)
	if err != nil {
		return nil, err
	}
	r := &relay{clients: map[string]grpc.ServerStream{}}
	server := relayServer()
	desc := relayStream
	desc.Handler = func(_ any, s grpc.ServerStream) error { return r.serve(s) }
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "bench.Relay", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{desc}}, nil)
	context.AfterFunc(ctx, server.Stop)
	go func() { _ = server.Serve(lis) }() // until Stop
	return load.WithMemory(worker.Ops{}), nil
}

// relay knows the stream of each client. One client alone sends to each.
type relay struct {
	mu      sync.Mutex
	clients map[string]grpc.ServerStream
}

// serve passes on what a client sends.
func (r *relay) serve(s grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	own, to := first(md, ownKey), first(md, toKey)
	r.mu.Lock()
	r.clients[own] = s
	r.mu.Unlock()
	if err := s.SendHeader(nil); err != nil { // from now on it can be sent to
		return err
	}
	var next grpc.ServerStream
	for {
		m := new(wrapperspb.BytesValue)
		if err := s.RecvMsg(m); err != nil {
			return nil // it has gone
		}
		if next == nil {
			if next = r.stream(to); next == nil {
				return status.Errorf(codes.NotFound, "no client %q", to)
			}
		}
		if err := next.SendMsg(m); err != nil {
			return err
		}
	}
}

func (r *relay) stream(name string) grpc.ServerStream {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clients[name]
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}
