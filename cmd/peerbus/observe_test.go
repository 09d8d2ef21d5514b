package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
)

// fetch gives what is at a URL, and its status.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// freeAddr is a loopback address that nobody listens to.
func freeAddr(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	return lis.Addr().String()
}

// Profiles are at an address of their own, of every service, and nowhere else.
func TestProfiles(t *testing.T) {
	system := newSystem(t)
	ofNode, ofBus := freeAddr(t), freeAddr(t)
	node, err := system.StartNode("example.org", "--pprof-addr", ofNode)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	r := startRuntime(t, system, "alice", local.AllInOne, []*local.Node{node}, "--pprof-addr", ofBus)
	ready(t, r)
	for _, addr := range []string{ofNode, ofBus} {
		if code, text := fetch(t, "http://"+addr+"/debug/pprof/goroutine?debug=1"); code != http.StatusOK || !strings.Contains(text, "goroutine profile") {
			t.Errorf("%s: %d, %.200s", addr, code, text)
		}
		if code, _ := fetch(t, "http://"+addr+"/metrics"); code != http.StatusNotFound {
			t.Errorf("%s: metrics are there too: %d", addr, code)
		}
		if code := fetchAs(t, "rebound.example", "http://"+addr+"/debug/pprof/cmdline"); code != http.StatusForbidden {
			t.Errorf("%s: a page of another name may read it: %d", addr, code)
		}
	}
	for _, addr := range []string{node.HTTPAddr, r.MetricsAddrs["runtime"]} {
		if code, text := fetch(t, "http://"+addr+"/debug/pprof/"); code == http.StatusOK {
			t.Errorf("%s: profiles are there too: %.200s", addr, text)
		}
	}
}

// fetchAs asks with the name of another host, as a page does that was made to lead here.
func fetchAs(t *testing.T, host, url string) (code int) {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode
}

func TestWrongObservation(t *testing.T) {
	bus := []string{"bus", "--runtime-url", "hyperty-runtime://a/b", "--bus-addr", "127.0.0.1:0"}
	node := []string{"msgnode", "--domain", "a", "--data-dir", t.TempDir()}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{with(bus, "--pprof-addr", "0.0.0.0:0"), "--insecure"},
		{with(bus, "--otlp-endpoint", "collector"), "want HOST:PORT"},
		{with(bus, "--otlp-endpoint", "http://collector.example"), "--insecure"},
		{with(bus, "--trace-ratio", "2"), "trace-ratio"},
		{with(bus, "--trace-ratio", "NaN"), "trace-ratio"},
		{with(node, "--otlp-endpoint", "collector"), "otlp-endpoint"},
	} {
		if code, _, errs := command(t, nil, tc.args...); code != exitUsage || !strings.Contains(errs, tc.want) {
			t.Errorf("%v: exit %d, %s", tc.args, code, errs)
		}
	}
}

// A collector that is not there holds up neither messages nor the end, and without one
// nothing is connected to, whatever OpenTelemetry's own variables say.
func TestNobodyCollects(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+c.addr)
	for name, extra := range map[string][]string{"off": nil, "away": {"--otlp-endpoint", freeAddr(t)}} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, local.AllInOne, local.AllInOne, extra...)
			in := listen(t, p.bob, p.bobURL)
			post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 1))
			if m := in.next(); (m.Trace != nil) != (name == "away") {
				t.Errorf("%v", m)
			}
		}) // its processes end well
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spans) > 0 {
		t.Errorf("%d spans have come", len(c.spans))
	}
}

// Each service of a runtime says under its own name how it is, as one process and as
// several.
func TestHealthOfServices(t *testing.T) {
	system := newSystem(t)
	node := startNode(t, system)
	for id, layout := range map[string]local.Layout{"alice": local.AllInOne, "bob": local.Separate} {
		r := startRuntime(t, system, id, layout, []*local.Node{node})
		ready(t, r)
		for service, addr := range map[string]string{
			pb.MessageBus_ServiceDesc.ServiceName: r.BusAddr, pb.Registry_ServiceDesc.ServiceName: r.RegistryAddr,
			pb.P2PStub_ServiceDesc.ServiceName: r.P2PStubAddr, pb.NodeStub_ServiceDesc.ServiceName: r.NodeAddr,
			pb.MessageNode_ServiceDesc.ServiceName: node.GRPCAddr, "": r.BusAddr,
		} {
			conn, err := rpc.Dial(addr, rpc.Security{})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := healthpb.NewHealthClient(conn).Check(testContext(t), &healthpb.HealthCheckRequest{Service: service})
			if err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("%s: %q is %v, %v", id, service, resp, err)
			}
			_ = conn.Close()
		}
	}
}
