package msgnode

import (
	"context"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
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
	var frame codec.Messages
	if err := g.stream.RecvMsg(&frame); err != nil {
		return nil, err
	}
	in := make([]received, len(frame))
	var validator message.Validator
	for i, c := range frame {
		in[i] = received{c, validator.Validate(c)}
	}
	return in, nil
}

func (g *grpcStream) send(_ context.Context, batch codec.Messages) error {
	return g.stream.SendMsg(batch)
}
