package rpc_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
)

// Each service is SERVING under its name, reflection lists it, and who watches is told
// of the end before the connection goes.
func TestHealthOfEachService(t *testing.T) {
	srv, err := rpc.NewServer(rpc.Security{}, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	pb.RegisterMessageBusServer(srv, pb.UnimplementedMessageBusServer{})
	pb.RegisterRegistryServer(srv, pb.UnimplementedRegistryServer{})
	m := rpc.NewMemory()
	conn, err := m.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(ctx, srv, m) }()

	names := append(listed(t, conn), "")
	for _, want := range []string{pb.MessageBus_ServiceDesc.ServiceName, pb.Registry_ServiceDesc.ServiceName} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %v", want, names)
		}
	}
	watches := map[string]healthpb.Health_WatchClient{}
	for _, name := range names {
		w, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := w.Recv(); err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", name, resp, err)
		}
		watches[name] = w
	}
	stop()
	for name, w := range watches {
		if resp, err := w.Recv(); err != nil || resp.Status != healthpb.HealthCheckResponse_NOT_SERVING {
			t.Errorf("%q at the end: %v, %v", name, resp, err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A service that says so is NOT_SERVING under its name alone, before Serve and after.
func TestAServiceSaysThatItDoesNotServe(t *testing.T) {
	srv, err := rpc.NewServer(rpc.Security{}, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	name := pb.MessageBus_ServiceDesc.ServiceName
	pb.RegisterMessageBusServer(srv, pb.UnimplementedMessageBusServer{})
	srv.Say(name, false)
	m := rpc.NewMemory()
	conn, err := m.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(ctx, srv, m) }()
	want := func(service string, want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		resp, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || resp.Status != want {
			t.Errorf("%q is %v, %v, want %v", service, resp, err, want)
		}
	}
	want("", healthpb.HealthCheckResponse_SERVING)
	want(name, healthpb.HealthCheckResponse_NOT_SERVING)
	srv.Say(name, true)
	want(name, healthpb.HealthCheckResponse_SERVING)
	srv.Say(name, false)
	want(name, healthpb.HealthCheckResponse_NOT_SERVING)
	want("", healthpb.HealthCheckResponse_SERVING)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// listed asks a server by reflection which services it has.
func listed(t *testing.T, conn *grpc.ClientConn) (names []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range resp.GetListServicesResponse().GetService() {
		names = append(names, s.Name)
	}
	return names
}
