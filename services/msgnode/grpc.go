package msgnode

import (
	"context"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// grpcServer is the transport of our own stubs: the same messages, in batches.
type grpcServer struct {
	pb.UnimplementedMessageNodeServer
	node *Node
}

// Connect serves one session, until it is closed or the client is gone.
func (g grpcServer) Connect(stream pb.MessageNode_ConnectServer) error {
	return g.node.serve(stream.Context(), &grpcStream{stream})
}

type grpcStream struct{ stream pb.MessageNode_ConnectServer }

func (g *grpcStream) name() string { return transportGRPC }

func (g *grpcStream) receive(context.Context) ([]received, error) {
	req, err := g.stream.Recv()
	if err != nil {
		return nil, err
	}
	in := make([]received, len(req.Messages))
	for i, m := range req.Messages {
		in[i] = received{m, message.Validate(m)}
	}
	return in, nil
}

func (g *grpcStream) send(_ context.Context, batch []*pb.Message) error {
	return g.stream.Send(&pb.MessageNodeConnectResponse{Messages: batch})
}
