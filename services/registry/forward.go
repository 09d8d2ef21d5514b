package registry

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/retry"
)

// replicaServer answers by the registry of this process while that leads. Otherwise
// what changes something, and what takes all that a registry knows, is forwarded to the
// one that leads, and the rest is answered out of what a standby knows.
type replicaServer struct {
	pb.UnimplementedRegistryServer
	r *Replica
}

// forwardedBy marks a call that comes from another replica: it goes no further.
const forwardedBy = "peerbus-forwarded-by"

// errNotLeading refuses a call that was forwarded to the wrong replica. Its field
// tells that nothing has been done.
var errNotLeading = fault.New(fault.Unavailable, "this registry does not lead").In("leader")

// nobodyLeads refuses what only a registry that leads can do, and says why there is none.
func nobodyLeads(g *members.Group) *fault.Error {
	if trouble := g.Trouble(); trouble != nil {
		return fault.New(fault.Unavailable, "no registry leads now: %w", trouble).In("leader")
	}
	return fault.New(fault.Unavailable, "no registry leads now: one is about to take over").In("leader")
}

// natsStatus is how the replicas' NATS is, as a component of the runtime.
func natsStatus(g *members.Group) *pb.ComponentStatus {
	trouble := g.Trouble()
	if trouble == nil {
		return &pb.ComponentStatus{Name: natsName, Connected: true}
	}
	return &pb.ComponentStatus{Name: natsName, Reason: fault.From(trouble).Description}
}

const natsName = "NATS"

func isForwarded(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, forwardedBy)) > 0
}

// forwarding marks what leaves for the registry that leads.
func (s *standby) forwarding(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, forwardedBy, s.cfg.Group.Self().ID)
}

// here and there are a method of the service, served and called.
type (
	here[Q, A any]  func(pb.RegistryServer, context.Context, *Q) (*A, error)
	there[Q, A any] func(pb.RegistryClient, context.Context, *Q, ...grpc.CallOption) (*A, error)
)

// answer has a call answered by whoever leads. While nobody does it waits,
// Limits.LeaderWait at most. A call that has left is not made again: it may have been
// done. One that a registry could not write since it is deposed is not.
func answer[Q, A any](ctx context.Context, r *Replica, q *Q, h here[Q, A], t there[Q, A]) (*A, error) {
	late := time.NewTimer(r.limits.LeaderWait)
	defer late.Stop()
	var wait retry.Backoff
	for {
		own, leader, changed := r.who()
		if own != nil {
			resp, err := h(&server{r: own}, ctx, q)
			if !errors.Is(err, errDeposed) {
				return resp, err
			}
		}
		if isForwarded(ctx) {
			return nil, errNotLeading
		}
		var again <-chan time.Time
		if own == nil && leader != nil {
			resp, left, err := forward(ctx, r.standby, leader.client, q, t)
			if err == nil || left {
				return resp, r.forwarded(err)
			}
			again = time.After(wait.Next())
		}
		select {
		case <-changed:
		case <-again:
		case <-late.C:
			r.metrics.forwarded.WithLabelValues(forwardNobody).Inc()
			return nil, nobodyLeads(r.cfg.Group)
		case <-ctx.Done():
			return nil, fault.From(ctx.Err())
		}
	}
}

// forward makes one call to the registry that leads, and tells whether it may have been
// done there.
func forward[Q, A any](ctx context.Context, s *standby, c pb.RegistryClient, q *Q, t there[Q, A]) (*A, bool, error) {
	var to peer.Peer
	resp, err := t(c, s.forwarding(ctx), q, grpc.WaitForReady(false), grpc.Peer(&to))
	if err == nil {
		return resp, true, nil
	}
	f := fault.From(err)
	if to.Addr == nil && f.Code == fault.Unavailable { // it has not left
		return nil, false, nobodyLeads(s.cfg.Group)
	}
	return nil, f.Field != errNotLeading.Field, f
}

func (r *Replica) standsBy() bool {
	own, _, _ := r.who()
	return own == nil
}

// forwarded counts how a forwarded call has ended.
func (r *Replica) forwarded(err error) error {
	outcome := forwardDone
	if err != nil {
		outcome = forwardRefused
	}
	r.metrics.forwarded.WithLabelValues(outcome).Inc()
	return err
}

func (s *replicaServer) Resolve(ctx context.Context, req *pb.ResolveRequest) (*pb.ResolveResponse, error) {
	return answer(ctx, s.r, req, pb.RegistryServer.Resolve, pb.RegistryClient.Resolve)
}

func (s *replicaServer) Register(ctx context.Context, req *pb.RegisterRequest) (*pb.RegisterResponse, error) {
	resp, err := answer(ctx, s.r, req, pb.RegistryServer.Register, pb.RegistryClient.Register)
	if err == nil && s.r.standsBy() {
		s.r.standby.awaitRegistration(ctx, resp.GetRegistration().GetUrl(), true)
	}
	return resp, err
}

func (s *replicaServer) Unregister(ctx context.Context, req *pb.UnregisterRequest) (*pb.UnregisterResponse, error) {
	resp, err := answer(ctx, s.r, req, pb.RegistryServer.Unregister, pb.RegistryClient.Unregister)
	if err == nil && s.r.standsBy() {
		s.r.standby.awaitRegistration(ctx, req.Url, false)
	}
	return resp, err
}

func (s *replicaServer) Connect(ctx context.Context, req *pb.ConnectRequest) (*pb.ConnectResponse, error) {
	resp, err := answer(ctx, s.r, req, pb.RegistryServer.Connect, pb.RegistryClient.Connect)
	if err == nil && s.r.standsBy() {
		s.r.standby.awaitConnection(ctx, resp.GetConnection().GetId())
	}
	return resp, err
}

func (s *replicaServer) Disconnect(ctx context.Context, req *pb.DisconnectRequest) (*pb.DisconnectResponse, error) {
	resp, err := answer(ctx, s.r, req, pb.RegistryServer.Disconnect, pb.RegistryClient.Disconnect)
	if err == nil && s.r.standsBy() {
		s.r.standby.awaitEnd(ctx, req.Connection)
	}
	return resp, err
}

func (s *replicaServer) Routes(stream grpc.BidiStreamingServer[pb.RoutesRequest, pb.RoutesResponse]) error {
	own, _, _ := s.r.who()
	switch {
	case own != nil:
		return (&server{r: own}).Routes(stream)
	case isForwarded(stream.Context()):
		return errNotLeading
	default:
		return s.r.standby.serveRoutes(stream)
	}
}

func (s *replicaServer) WatchConnections(req *pb.WatchConnectionsRequest, stream grpc.ServerStreamingServer[pb.WatchConnectionsResponse]) error {
	own, _, _ := s.r.who()
	switch {
	case own != nil:
		return (&server{r: own}).WatchConnections(req, stream)
	case isForwarded(stream.Context()):
		return errNotLeading
	default:
		return s.r.standby.watchConnections(stream.Context(), stream.Send)
	}
}

func (s *replicaServer) ListRegistrations(ctx context.Context, req *pb.ListRegistrationsRequest) (*pb.ListRegistrationsResponse, error) {
	if own, _, _ := s.r.who(); own != nil {
		return (&server{r: own}).ListRegistrations(ctx, req)
	}
	if err := checkKind(req.Kind); err != nil {
		return nil, err
	}
	all, err := s.r.standby.registrations(ctx, req.Kind)
	return &pb.ListRegistrationsResponse{Registrations: all}, err
}

func (s *replicaServer) GetConnection(ctx context.Context, req *pb.GetConnectionRequest) (*pb.GetConnectionResponse, error) {
	if own, _, _ := s.r.who(); own != nil {
		return (&server{r: own}).GetConnection(ctx, req)
	}
	c, err := s.r.standby.connection(ctx, req.Connection)
	if err != nil {
		return nil, err
	}
	return &pb.GetConnectionResponse{Connection: c}, nil
}

func (s *replicaServer) ListConnections(ctx context.Context, req *pb.ListConnectionsRequest) (*pb.ListConnectionsResponse, error) {
	if own, _, _ := s.r.who(); own != nil {
		return (&server{r: own}).ListConnections(ctx, req)
	}
	all, err := s.r.standby.connections(ctx)
	return &pb.ListConnectionsResponse{Connections: all}, err
}

// GetRuntime is answered by the registry that leads, which alone is connected with the
// other services; without one, by what it has said last.
func (s *replicaServer) GetRuntime(ctx context.Context, req *pb.GetRuntimeRequest) (*pb.GetRuntimeResponse, error) {
	own, leader, _ := s.r.who()
	switch {
	case own != nil:
		resp, err := (&server{r: own}).GetRuntime(ctx, req)
		if err == nil {
			resp.Components = slices.Insert(resp.Components, 0, natsStatus(s.r.cfg.Group))
		}
		return resp, err
	case isForwarded(ctx):
		return nil, errNotLeading
	case leader != nil:
		if resp, _, err := forward(ctx, s.r.standby, leader.client, req, pb.RegistryClient.GetRuntime); err == nil {
			s.r.standby.noteRuntime(resp)
			return resp, nil
		}
	}
	return s.r.standby.describe(), nil
}
