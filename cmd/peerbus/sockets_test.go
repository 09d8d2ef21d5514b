package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
)

// shortDir is for sockets, whose paths are bounded: that of a test's own directory has the
// test's name in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// All processes of two runtimes and their Message Node meet over unix sockets, a killed one
// takes its place again, and none is left at the end.
func TestEverythingOverUnixSockets(t *testing.T) {
	dir := shortDir(t)
	s := local.New(local.Config{Binary: binary, Dir: dir, Sockets: true})
	p := newPairWith(t, s, local.Separate, local.AllInOne)
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 0))
	in.next()
	waitConnection(t, p.alice, p.bob.URL, live)
	settle(t, p, in)

	bus := p.alice.Processes["bus"]
	bus.Kill()
	if _, err := s.Restart(bus); err != nil {
		t.Fatal(err)
	}
	servesAgain(t, p.alice.Bus) // the registry may not know yet that the bus was gone
	ready(t, p.alice)
	code, out, errs := command(t, nil, "post", "--bus-addr", p.alice.BusAddr, "--wait", "delivered", p.bobURL, `{"value":1}`)
	if code != 0 || !strings.Contains(out, "delivered") {
		t.Errorf("post: exit %d, %s%s", code, out, errs)
	}
	_, found := doctor(t, "--bus-addr", p.alice.BusAddr, "--registry-addr", p.alice.RegistryAddr)
	for _, check := range []string{"registry", "bus", "session", "node-ready"} {
		if f := found[check]; f.Verdict != isOK {
			t.Errorf("%+v", f)
		}
	}
	in.close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(dir + "/2*")
	if err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// servesAgain waits for a process that has been killed and started again. What is asked
// before its connection has told of the end is lost with it (UNAVAILABLE), though it is
// asked with WaitForReady.
func servesAgain(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	for ctx := testContext(t); ; {
		_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err == nil {
			return
		}
		if status.Code(err) != codes.Unavailable || !pause(ctx) {
			t.Fatal(err)
		}
	}
}

// A bus that listens at both is reached at both, and its metrics at a socket.
func TestTCPAndAUnixSocket(t *testing.T) {
	dir := shortDir(t)
	addrs, err := local.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	s := newSystem(t)
	unix, metrics := rpc.UnixScheme+filepath.Join(dir, "bus"), filepath.Join(dir, "metrics")
	_, err = s.Start("bus", "bus", "--runtime-url", "hyperty-runtime://a/b", "--bus-addr", addrs[0]+","+unix,
		"--http-addr", rpc.UnixScheme+metrics, "--socket-mode", "0660")
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{addrs[0], unix} {
		conn, err := rpc.Dial(addr, rpc.Security{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := healthpb.NewHealthClient(conn).Check(testContext(t), &healthpb.HealthCheckRequest{}); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
		_ = conn.Close()
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", metrics)
	}}}
	for {
		resp, err := client.Get("http://localhost/healthz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Error(resp.Status)
			}
			break
		}
		if !pause(testContext(t)) {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "bus")); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
}

// The Message Node's HTTP is asked over a unix socket too, where --node-http says so.
func TestDoctorAsksOverAUnixSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "http")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.Path)) })}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	s := &runtimeThere{doctorSettings: &doctorSettings{nodeHTTP: rpc.UnixScheme + path}}
	s.timeout = doctorTime
	base, guessed := s.nodeURL()
	body, date, err := s.get(t.Context(), base+"/healthz")
	if err != nil || string(body) != "/healthz" || date == "" || guessed {
		t.Errorf("%q, %q, %v, %v", body, date, guessed, err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	<-served
	if _, _, err := s.get(t.Context(), base+"/healthz"); err == nil {
		t.Error("it answers when it is gone")
	}
}
