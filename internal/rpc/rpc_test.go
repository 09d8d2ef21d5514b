package rpc_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(listening); what != "" {
		listen(what)
		return
	}
	goleak.VerifyTestMain(m)
}

// listening tells this test's binary to be the process that another test kills: it has opened its
// port (tcp), or its abstract socket as well (both), and serves neither yet.
const listening = "PEERBUS_TEST_LISTENING"

// listen is that process: it says its address and waits to be killed.
func listen(what string) {
	lis, err := rpc.Listen("127.0.0.1:0", rpc.Security{})
	if err == nil && what == "both" {
		_, err = rpc.Abstract([]net.Listener{lis}, rpc.Security{})
	}
	if err != nil {
		panic(err)
	}
	fmt.Println(lis.Addr())
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the other one ends, at the latest
}

// serve runs a server until the test ends, and gives its address.
func serve(t *testing.T, s rpc.Security, register func(*rpc.Server)) string {
	t.Helper()
	srv := server(t, s)
	if register != nil {
		register(srv)
	}
	lis, err := rpc.Listen("127.0.0.1:0", s)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, srv, lis)
	return lis.Addr().String()
}

func server(t *testing.T, s rpc.Security) *rpc.Server {
	t.Helper()
	srv, err := rpc.NewServer(s, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

// serveOn serves until the test ends.
func serveOn(t *testing.T, srv *rpc.Server, listeners ...net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(ctx, srv, listeners...) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// check asks for a server's health.
func check(t *testing.T, addr string, s rpc.Security) error {
	t.Helper()
	conn, err := rpc.Dial(addr, s, grpc.WithDefaultCallOptions(grpc.WaitForReady(false)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func TestWhoMayConnect(t *testing.T) {
	ours, theirs := testcert.New(t, "ours"), testcert.New(t, "theirs")
	cert, key := ours.Issue(t, "server")
	clientCert, clientKey := ours.Issue(t, "client")
	strangerCert, strangerKey := theirs.Issue(t, "stranger")

	plain := serve(t, rpc.Security{}, nil)
	secured := serve(t, rpc.Security{CertFile: cert, KeyFile: key}, nil)
	mutual := serve(t, rpc.Security{CertFile: cert, KeyFile: key, CAFile: ours.File}, nil)
	for _, tc := range []struct {
		name   string
		addr   string
		client rpc.Security
		want   bool
	}{
		{"plain to plain", plain, rpc.Security{}, true},
		{"plain to TLS", secured, rpc.Security{}, false},
		{"TLS with the right authority", secured, rpc.Security{CAFile: ours.File}, true},
		{"TLS with another authority", secured, rpc.Security{CAFile: theirs.File}, false},
		{"mutual without a certificate", mutual, rpc.Security{CAFile: ours.File}, false},
		{"mutual with one", mutual, rpc.Security{CAFile: ours.File, CertFile: clientCert, KeyFile: clientKey}, true},
		{"mutual with a stranger's", mutual, rpc.Security{CAFile: ours.File, CertFile: strangerCert, KeyFile: strangerKey}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := check(t, tc.addr, tc.client); (err == nil) != tc.want {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	a := testcert.New(t, "ours")
	cert, key := a.Issue(t, "server")
	for name, s := range map[string]rpc.Security{
		"tls-cert and tls-key":     {CertFile: cert},
		"tls-ca on a listener":     {CAFile: a.File},
		"no such file":             {CertFile: "/does/not/exist", KeyFile: key},
		"has no certificate in it": {CertFile: cert, KeyFile: key, CAFile: key},
	} {
		_, err := rpc.NewServer(s, slog.Default())
		if fault.CodeOf(err) != fault.BadRequest || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

func TestListenBeyondLoopback(t *testing.T) {
	if _, err := rpc.Listen("0.0.0.0:0", rpc.Security{}); err == nil || !strings.Contains(err.Error(), "--insecure") {
		t.Errorf("without TLS: %v", err)
	}
	for addr, want := range map[string]bool{"0.0.0.0:0": true, "127.0.0.1:0": false} {
		lis, err := rpc.Listen(addr, rpc.Security{Insecure: true})
		if err != nil {
			t.Fatal(err)
		}
		_ = lis.Close()
		if got := rpc.Exposed(lis, rpc.Security{Insecure: true}); got != want {
			t.Errorf("%s: exposed %v", addr, got)
		}
		if rpc.Exposed(lis, rpc.Security{CertFile: "a", KeyFile: "b"}) {
			t.Errorf("%s: exposed in spite of TLS", addr)
		}
	}
}

// brokenNode panics.
type brokenNode struct {
	pb.UnimplementedNodeStubServer
}

func (brokenNode) Close(context.Context, *pb.NodeStubCloseRequest) (*pb.NodeStubCloseResponse, error) {
	panic("broken")
}

func (brokenNode) Watch(*pb.NodeStubWatchRequest, grpc.ServerStreamingServer[pb.NodeStubWatchResponse]) error {
	panic("broken")
}

func TestAPanicEndsTheCallAlone(t *testing.T) {
	addr := serve(t, rpc.Security{}, func(s *rpc.Server) { pb.RegisterNodeStubServer(s, brokenNode{}) })
	conn, err := rpc.Dial(addr, rpc.Security{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	node := pb.NewNodeStubClient(conn)
	if _, err := node.Close(t.Context(), &pb.NodeStubCloseRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("Close: %v", err)
	}
	stream, err := node.Watch(t.Context(), &pb.NodeStubWatchRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Internal {
		t.Errorf("Watch: %v", err)
	}
	if err := check(t, addr, rpc.Security{}); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestMemory(t *testing.T) {
	m := rpc.NewMemory()
	srv, err := rpc.NewServer(rpc.Security{}, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(ctx, srv, m) }()
	conn, err := m.Dial()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	_ = conn.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Whose server has said that it stops is no reason for a warning; whose server is cut is.
func TestHowAServerEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(stop func(), srv *rpc.Server)
		want slog.Level
	}{
		"stopped": {func(stop func(), _ *rpc.Server) { stop() }, slog.LevelInfo},
		"cut":     {func(_ func(), srv *rpc.Server) { srv.Stop() }, slog.LevelWarn},
	} {
		srv, err := rpc.NewServer(rpc.Security{}, slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		lis, err := rpc.Listen("127.0.0.1:0", rpc.Security{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- rpc.Serve(ctx, srv, lis) }()
		conn, err := rpc.Dial(lis.Addr().String(), rpc.Security{})
		if err != nil {
			t.Fatal(err)
		}
		watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
		if err == nil {
			_, err = watch.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		c.end(stop, srv)
		for err == nil {
			_, err = watch.Recv()
		}
		if got := fault.EndLevel(err); got != c.want {
			t.Errorf("%s: %v for %v, want %v", name, got, err, c.want)
		}
		stop()
		_ = conn.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
