package rpc_test

import (
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

// serveBeside serves at an address, and at what Abstract gives for it, and gives the port.
func serveBeside(t *testing.T, addr string, s rpc.Security) (port string) {
	t.Helper()
	lis, err := rpc.Listen(addr, s)
	if err != nil {
		t.Fatal(err)
	}
	beside, err := rpc.Abstract([]net.Listener{lis}, s)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, server(t, s), append(beside, lis)...)
	_, port, err = net.SplitHostPort(lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// over asks the server at a target how it is, and tells over which network it was reached.
func over(t *testing.T, target string, s rpc.Security) string {
	t.Helper()
	conn, err := rpc.Dial(target, s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var p peer.Peer
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}, grpc.Peer(&p)); err != nil {
		t.Fatal(err)
	}
	return p.Addr.Network()
}

func TestOnLoopbackGRPCGoesOverAnAbstractSocket(t *testing.T) {
	own, all := serveBeside(t, "127.0.0.1:0", rpc.Security{}), serveBeside(t, "0.0.0.0:0", rpc.Security{Insecure: true})
	for _, target := range []string{
		"127.0.0.1:" + own, "localhost:" + own, "127.0.0.1:" + all, "127.0.0.1:1, 127.0.0.1:" + own,
	} {
		if got := over(t, target, rpc.Security{}); got != "unix" {
			t.Errorf("%s is reached over %s", target, got)
		}
		if got := over(t, target, rpc.Security{NoAbstract: true}); got != "tcp" {
			t.Errorf("%s is reached over %s by who wants none", target, got)
		}
	}
}

func TestWhatIsReachedOverTCP(t *testing.T) {
	ca := testcert.New(t, "ours")
	cert, key := ca.Issue(t, "server")
	tls := rpc.Security{CertFile: cert, KeyFile: key}
	for what, tc := range map[string]struct {
		server, client rpc.Security
	}{
		"a server that wants none": {server: rpc.Security{NoAbstract: true}},
		"a server with TLS":        {server: tls, client: rpc.Security{CAFile: ca.File}},
	} {
		if got := over(t, "127.0.0.1:"+serveBeside(t, "127.0.0.1:0", tc.server), tc.client); got != "tcp" {
			t.Errorf("%s is reached over %s", what, got)
		}
	}
	port := serveBeside(t, "0.0.0.0:0", rpc.Security{Insecure: true})
	if got := over(t, "127.0.0.2:"+port, rpc.Security{}); got != "tcp" {
		t.Errorf("an address that has no socket is reached over %s", got)
	}
}

// A name can be taken by others before its server: who dials does not trust them.
func TestASocketOfAnotherUserIsNotTaken(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	lis, err := rpc.Listen("127.0.0.1:0", rpc.Security{})
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().String()
	listenAs(t, 65533, "@peerbus/"+addr)
	if beside, err := rpc.Abstract([]net.Listener{lis}, rpc.Security{}); len(beside) != 0 || err == nil {
		t.Errorf("the name was free: %v, %v", beside, err)
	}
	serveOn(t, server(t, rpc.Security{}), lis)
	if got := over(t, addr, rpc.Security{}); got != "tcp" {
		t.Errorf("it is reached over %s", got)
	}
}

// listenAs opens a listener of another user, which accepts and never answers.
func listenAs(t *testing.T, uid uintptr, name string) {
	t.Helper()
	opened := make(chan net.Listener)
	go func() {
		defer close(opened)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		const leave = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, leave, uid, leave); errno != 0 {
			t.Error(errno)
			return
		}
		lis, err := net.Listen("unix", name)
		if err != nil {
			t.Error(err)
			return
		}
		opened <- lis
	}()
	lis, ok := <-opened
	if !ok {
		t.FailNow()
	}
	<-opened
	t.Cleanup(func() { _ = lis.Close() })
}

// A target beyond loopback is dialed as gRPC does, over the proxy of the environment too.
func TestNearIsForLoopback(t *testing.T) {
	for target, want := range map[string]int{
		"127.0.0.1:1": 1, "localhost:1": 1, "[::1]:1": 1, "127.0.0.1:1, 127.0.0.1:2": 1,
		"10.0.0.1:1": 0, "127.0.0.1:1,10.0.0.1:1": 0, "bus:1": 0, "unix:///run/bus": 0, "dns:///localhost:1": 0, "": 0,
	} {
		if got := len(rpc.Near(target)); got != want {
			t.Errorf("%q has %d options, not %d", target, got, want)
		}
	}
}
