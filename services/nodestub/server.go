package nodestub

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Register adds the service NodeStub to a gRPC server.
func (s *Stub) Register(r grpc.ServiceRegistrar) { pb.RegisterNodeStubServer(r, server{stub: s}) }

// server is the gRPC side of a Stub.
type server struct {
	pb.UnimplementedNodeStubServer
	stub *Stub
}

func (s server) Deploy(ctx context.Context, req *pb.NodeStubDeployRequest) (*pb.NodeStubDeployResponse, error) {
	if err := s.stub.Deploy(ctx, req.Domain, req.StubUrl); err != nil {
		return nil, err
	}
	return &pb.NodeStubDeployResponse{}, nil
}

func (s server) Close(ctx context.Context, req *pb.NodeStubCloseRequest) (*pb.NodeStubCloseResponse, error) {
	if err := s.stub.Close(ctx, req.StubUrl); err != nil {
		return nil, err
	}
	return &pb.NodeStubCloseResponse{}, nil
}

func (s server) Watch(_ *pb.NodeStubWatchRequest, stream grpc.ServerStreamingServer[pb.NodeStubWatchResponse]) error {
	w, err := s.stub.watch()
	if err != nil {
		return err
	}
	defer s.stub.unwatch(w)
	for {
		select {
		case change, ok := <-w.changes:
			if !ok {
				return w.why
			}
			if err := stream.Send(change); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
