package p2pstub

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

func (r role) proto() pb.ConnectionRole { return pb.ConnectionRole(r) }

// Server is the gRPC service of a Stub.
type Server struct {
	pb.UnimplementedP2PStubServer
	stub *Stub
}

// Register adds the stub's service to a gRPC server.
func (s *Stub) Register(r grpc.ServiceRegistrar) { pb.RegisterP2PStubServer(r, &Server{stub: s}) }

// Deploy makes a handler stub, or a requester stub that begins its set-up. 409
// when there is a connection with the remote runtime that it is not to replace, or
// the other side sets one up already.
func (s *Server) Deploy(ctx context.Context, r *pb.P2PStubDeployRequest) (*pb.P2PStubDeployResponse, error) {
	d := &deployed{url: r.StubUrl, public: r.StubUrl, role: role(r.Role)}
	if r.PublicUrl != "" {
		d.public = r.PublicUrl
	}
	err := s.stub.heed(r.Term)
	if err == nil {
		err = s.stub.check(r)
	}
	if err != nil {
		return nil, err
	}
	err = s.stub.deploy(ctx, d, target{runtimeKey(r.RemoteRuntimeUrl), r.P2PHandler, r.Replace})
	if err != nil {
		return nil, fault.From(err)
	}
	return &pb.P2PStubDeployResponse{}, nil
}

func (s *Stub) check(r *pb.P2PStubDeployRequest) error {
	if runtimeKey(r.RuntimeUrl) != s.runtime.Text {
		return fault.New(fault.Conflict, "this P2P stub is of %s, not of %q", s.runtime.Text, r.RuntimeUrl)
	}
	if _, err := address.Parse(r.StubUrl); err != nil {
		return fault.New(fault.BadRequest, "stub_url: %w", err)
	}
	switch r.Role {
	case pb.ConnectionRole_CONNECTION_ROLE_HANDLER:
		if _, err := address.Parse(r.PublicUrl); r.PublicUrl != "" && err != nil {
			return fault.New(fault.BadRequest, "public_url: %w", err).In("public_url")
		}
		return nil
	case pb.ConnectionRole_CONNECTION_ROLE_REQUESTER:
		if _, err := address.ParseRuntime(r.RemoteRuntimeUrl); err != nil {
			return fault.New(fault.BadRequest, "remote_runtime_url: %w", err)
		}
		if r.P2PHandler == "" {
			return fault.New(fault.BadRequest, "p2p_handler is missing: whom to invite")
		}
		return nil
	default:
		return fault.New(fault.BadRequest, "role %v is neither requester nor handler", r.Role)
	}
}

// Close ends a peer connection or a stub.
func (s *Server) Close(ctx context.Context, r *pb.P2PStubCloseRequest) (*pb.P2PStubCloseResponse, error) {
	if err := s.stub.heed(r.Term); err != nil {
		return nil, err
	}
	s.stub.close(ctx, r.StubUrl, runtimeKey(r.RemoteRuntimeUrl), r.Reason)
	return &pb.P2PStubCloseResponse{}, nil
}

// Watch sends what is up, then every change.
func (s *Server) Watch(r *pb.P2PStubWatchRequest, stream grpc.ServerStreamingServer[pb.P2PStubWatchResponse]) error {
	if err := s.stub.heed(r.Term); err != nil {
		return err
	}
	if own := s.stub.cfg.Replica; own != r.Replica && own != "" && r.Replica != "" {
		return fault.New(fault.Unavailable, "this is the replica %s by now", own).In("replica")
	}
	snapshot, w, err := s.stub.watch()
	if err != nil {
		return fault.From(err)
	}
	defer s.stub.unwatch(w)
	if err := stream.Send(snapshot); err != nil {
		return err
	}
	var leaving <-chan struct{} = s.stub.leaving
	for {
		var p *pb.Peer
		open := true
		select {
		case <-leaving:
		case p, open = <-w.changes:
		case <-stream.Context().Done():
			return nil
		}
		if leaving, err = tellLeaving(stream, leaving); err != nil {
			return err
		}
		if !open {
			return fault.New(fault.Unavailable, "the watch has ended: it was too slow, or the P2P stub stops")
		}
		if p == nil {
			continue
		}
		if err := stream.Send(&pb.P2PStubWatchResponse{Peers: []*pb.Peer{p}}); err != nil {
			return err
		}
	}
}

// tellLeaving tells, once, that the stub leaves, before what comes of that.
func tellLeaving(stream grpc.ServerStreamingServer[pb.P2PStubWatchResponse], leaving <-chan struct{}) (<-chan struct{}, error) {
	select {
	case <-leaving:
		return nil, stream.Send(&pb.P2PStubWatchResponse{Leaving: true})
	default:
		return leaving, nil
	}
}
