package registry

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// Serve registers the service Registry with a gRPC server.
func (r *Registry) Serve(s grpc.ServiceRegistrar) { pb.RegisterRegistryServer(s, &server{r: r}) }

// server decodes, calls, and encodes.
type server struct {
	pb.UnimplementedRegistryServer
	r *Registry
}

// Routes is a bus's stream. This goroutine writes; another reads.
func (s *server) Routes(stream grpc.BidiStreamingServer[pb.RoutesRequest, pb.RoutesResponse]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	if err := s.r.ready(ctx); err != nil {
		return err
	}
	b := s.r.openBus()
	defer s.r.closeBus(b)
	if err := stream.SendHeader(nil); err != nil { // tells a standby that it is served
		return err
	}
	go func() { cancel(s.readRoutes(stream, b)) }() // ends with the stream
	return writeRoutes(ctx, stream, b.out, s.r.stopped, s.r.over, s.r.metrics)
}

// over says why what is served ends. One of several registries ends its time in office
// for other reasons than its own stop, and others lead on.
func (r *Registry) over() error {
	if r.cfg.Group != nil {
		return fault.New(fault.Unavailable, "this registry does not lead any more")
	}
	return fault.New(fault.Unavailable, "the registry is stopping")
}

func (s *server) readRoutes(stream grpc.BidiStreamingServer[pb.RoutesRequest, pb.RoutesResponse], b *busStream) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, q := range req.Queries {
			b.routeQuery(q.Sequence, query{to: q.To, p2p: q.P2P, p2pHandler: q.P2PHandler, again: q.Again, at: s.r.cfg.Now()})
		}
		for _, q := range req.Sources {
			b.sourceQuery(q.Sequence, sourceQuery{from: q.From, remote: q.RemoteRuntimeUrl, node: q.Node})
		}
	}
}

func (s *server) Resolve(ctx context.Context, req *pb.ResolveRequest) (*pb.ResolveResponse, error) {
	if err := s.r.ready(ctx); err != nil {
		return nil, err
	}
	if err := address.Check("address", req.Address); err != nil {
		return nil, err
	}
	if len(req.From) > address.MaxLength {
		return nil, address.TooLong("from")
	}
	if req.From != "" {
		if err := s.r.verify(ctx, sourceQuery{from: req.From}); err != nil {
			f := fault.From(err)
			return &pb.ResolveResponse{
				Route: &pb.Route{
					To: req.Address, Reason: pb.RouteReason_ROUTE_REASON_SOURCE_REFUSED,
					Code: int32(f.Code), Description: f.Description, // an HTTP code
				},
				Steps: []*pb.ResolveStep{{Rule: 1, Decided: true, Why: f.Description}},
			}, nil
		}
	}
	d, steps := s.r.resolveNow(ctx, query{to: req.Address, p2p: req.P2P, at: s.r.cfg.Now(), onPurpose: true}, req.From)
	return &pb.ResolveResponse{Route: d.route(req.Address), RuntimeUrl: d.Runtime, ConnectionId: d.Connection, Steps: steps}, nil
}

func (s *server) Register(ctx context.Context, req *pb.RegisterRequest) (*pb.RegisterResponse, error) {
	if err := s.r.ready(ctx); err != nil {
		return nil, err
	}
	reg, err := s.r.Register(ctx, req.Registration)
	if err != nil {
		return nil, fault.From(err)
	}
	return &pb.RegisterResponse{Registration: reg}, nil
}

func (s *server) Unregister(ctx context.Context, req *pb.UnregisterRequest) (*pb.UnregisterResponse, error) {
	if err := s.r.ready(ctx); err != nil {
		return nil, err
	}
	if err := s.r.Unregister(ctx, req.Url); err != nil {
		return nil, fault.From(err)
	}
	return &pb.UnregisterResponse{}, nil
}

func (s *server) ListRegistrations(ctx context.Context, req *pb.ListRegistrationsRequest) (*pb.ListRegistrationsResponse, error) {
	if err := s.r.ready(ctx); err != nil {
		return nil, err
	}
	if err := checkKind(req.Kind); err != nil {
		return nil, err
	}
	return &pb.ListRegistrationsResponse{Registrations: s.r.Registrations(req.Kind)}, nil
}

func (s *server) Connect(ctx context.Context, req *pb.ConnectRequest) (*pb.ConnectResponse, error) {
	if err := s.r.ready(ctx); err != nil {
		return nil, err
	}
	c, err := s.r.Connect(ctx, req.Address)
	if err != nil {
		return nil, fault.From(err)
	}
	return &pb.ConnectResponse{Connection: c}, nil
}

func (s *server) Disconnect(ctx context.Context, req *pb.DisconnectRequest) (*pb.DisconnectResponse, error) {
	if err := s.r.ready(ctx); err != nil {
		return nil, err
	}
	if err := s.r.Disconnect(req.Connection); err != nil {
		return nil, fault.From(err)
	}
	return &pb.DisconnectResponse{}, nil
}

func (s *server) GetConnection(ctx context.Context, req *pb.GetConnectionRequest) (*pb.GetConnectionResponse, error) {
	if err := s.r.ready(ctx); err != nil {
		return nil, err
	}
	c, err := s.r.Connection(req.Connection)
	if err != nil {
		return nil, err
	}
	return &pb.GetConnectionResponse{Connection: c}, nil
}

func (s *server) ListConnections(ctx context.Context, _ *pb.ListConnectionsRequest) (*pb.ListConnectionsResponse, error) {
	if err := s.r.ready(ctx); err != nil {
		return nil, err
	}
	return &pb.ListConnectionsResponse{Connections: s.r.Connections()}, nil
}

func (s *server) WatchConnections(_ *pb.WatchConnectionsRequest, stream grpc.ServerStreamingServer[pb.WatchConnectionsResponse]) error {
	if err := s.r.ready(stream.Context()); err != nil {
		return err
	}
	return s.r.watchConnections(stream.Context(), stream.Send)
}

func (s *server) GetRuntime(ctx context.Context, _ *pb.GetRuntimeRequest) (*pb.GetRuntimeResponse, error) {
	if err := s.r.ready(ctx); err != nil {
		return nil, err
	}
	return s.r.describe(), nil
}

// describe is GetRuntime's answer.
func (r *Registry) describe() *pb.GetRuntimeResponse {
	r.mu.Lock()
	defer r.mu.Unlock()
	resp := &pb.GetRuntimeResponse{
		RuntimeUrl: r.rules.own, Domain: r.known.domain, P2PHandlerUrl: r.handler, Version: r.cfg.Version,
		Registrations: uint32(len(r.known.registrations)),  // bounded by Limits
		Connections:   uint32(len(r.known.table.byRemote)), // bounded by Limits
	}
	if r.cfg.Group != nil {
		resp.LeaderAddr = r.cfg.Group.Self().Addr
	}
	for _, n := range r.sessions {
		resp.Nodes = append(resp.Nodes, n)
	}
	slices.SortFunc(resp.Nodes, func(a, b *pb.NodeSession) int { return strings.Compare(a.Domain, b.Domain) })
	for key, p := range r.parts {
		if name := r.partNameLocked(key); name != key {
			p = &pb.ComponentStatus{Name: name, Connected: p.Connected, Reason: p.Reason}
		}
		resp.Components = append(resp.Components, p)
	}
	if broken := r.cfg.Engine.Broken(); broken != nil {
		resp.Components = append(resp.Components, &pb.ComponentStatus{Name: storeName, Reason: broken.Error()})
	}
	slices.SortFunc(resp.Components, func(a, b *pb.ComponentStatus) int { return strings.Compare(a.Name, b.Name) })
	return resp
}

// storeName is what its own store is called among the components, while it takes no writes.
const storeName = "store"
