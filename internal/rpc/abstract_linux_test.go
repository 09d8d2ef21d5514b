package rpc_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
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

// needsIPv6 skips a test where loopback has IPv4 alone.
func needsIPv6(t *testing.T) {
	lis, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	_ = lis.Close()
}

func TestOnLoopbackGRPCGoesOverAnAbstractSocket(t *testing.T) {
	own := serveBeside(t, "127.0.0.1:0", rpc.Security{})
	wantNear(t, "127.0.0.1:"+own, "localhost:"+own, "127.0.0.1:1, 127.0.0.1:"+own)
	for _, all := range []string{"0.0.0.0:0", ":0"} {
		port := serveBeside(t, all, rpc.Security{Insecure: true})
		wantNear(t, "127.0.0.1:"+port, "localhost:"+port)
	}
}

// A port of all addresses is reached at both loopbacks, whichever of them it was named with.
func TestOnLoopbackOfIPv6GRPCGoesOverAnAbstractSocket(t *testing.T) {
	needsIPv6(t)
	wantNear(t, "[::1]:"+serveBeside(t, "[::1]:0", rpc.Security{}))
	for _, all := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		port := serveBeside(t, all, rpc.Security{Insecure: true})
		wantNear(t, "127.0.0.1:"+port, "[::1]:"+port, "[::ffff:127.0.0.1]:"+port)
	}
}

// wantNear checks that targets are reached over abstract sockets, but by who wants none.
func wantNear(t *testing.T, targets ...string) {
	t.Helper()
	for _, target := range targets {
		if got := over(t, target, rpc.Security{}); got != "unix" {
			t.Errorf("%s is reached over %s", target, got)
		}
		if got := over(t, target, rpc.Security{NoAbstract: true}); got != "tcp" {
			t.Errorf("%s is reached over %s by who wants none", target, got)
		}
	}
}

// Two ports of the same number, one on each loopback, are two servers.
func TestTheLoopbacksHaveSocketsOfTheirOwn(t *testing.T) {
	needsIPv6(t)
	port := serveBeside(t, "127.0.0.1:0", rpc.Security{})
	lis, err := rpc.Listen("[::1]:"+port, rpc.Security{})
	for tries := 0; err != nil && tries < 10; tries++ { // another process has that one
		port = serveBeside(t, "127.0.0.1:0", rpc.Security{})
		lis, err = rpc.Listen("[::1]:"+port, rpc.Security{})
	}
	if err != nil {
		t.Fatal(err)
	}
	beside, err := rpc.Abstract([]net.Listener{lis}, rpc.Security{})
	if err != nil || len(beside) != 1 {
		t.Fatalf("%d sockets, %v", len(beside), err)
	}
	_ = beside[0].Close()
	serveOn(t, server(t, rpc.Security{}), lis)
	if got := over(t, "[::1]:"+port, rpc.Security{}); got != "tcp" {
		t.Errorf("the one without a socket is reached over %s", got)
	}
	if got := over(t, "127.0.0.1:"+port, rpc.Security{}); got != "unix" {
		t.Errorf("the one with a socket is reached over %s", got)
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

// A process that is killed leaves no name behind, and who had dialed it before it served, over
// whatever was there then, comes to the next one, over what that has.
func TestAProcessIsKilledBeforeItServes(t *testing.T) {
	for _, c := range []struct {
		first string
		next  rpc.Security
		over  string
	}{
		{"tcp", rpc.Security{}, "unix"},
		{"both", rpc.Security{}, "unix"},
		{"both", rpc.Security{NoAbstract: true}, "tcp"},
	} {
		t.Run(fmt.Sprint(c.first, ", then ", c.over), func(t *testing.T) {
			first := exec.Command(os.Args[0])
			first.Env = append(os.Environ(), listening+"="+c.first)
			stdin, err := first.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stdin.Close() }()
			stdout, err := first.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			addr, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err, first.Process.Kill(), first.Wait())
			}
			addr = strings.TrimSpace(addr)
			ready := make(chan struct{})
			conn, dialed := dialNoting(t, addr, ready)
			conn.Connect()
			was := <-dialed
			if err := first.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = first.Wait()
			if want := map[string]string{"tcp": "tcp", "both": "unix"}[c.first]; was != want {
				t.Errorf("it was dialed over %s", was)
			}
			lis, err := rpc.Listen(addr, c.next)
			if err != nil {
				t.Fatal(err)
			}
			beside, err := rpc.Abstract([]net.Listener{lis}, c.next)
			if err != nil {
				t.Fatal(err)
			}
			serveOn(t, server(t, c.next), append(beside, lis)...)
			close(ready)
			var p peer.Peer
			if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}, grpc.Peer(&p)); err != nil {
				t.Fatal(err)
			}
			if got := p.Addr.Network(); got != c.over {
				t.Errorf("the next one is reached over %s", got)
			}
		})
	}
}

// dialNoting makes a connection that says over which network it was opened first, and is opened
// again once others may.
func dialNoting(t *testing.T, addr string, again <-chan struct{}) (*grpc.ClientConn, <-chan string) {
	t.Helper()
	dialed := make(chan string, 1)
	first := true // gRPC dials one after the other
	conn, err := rpc.Dial("passthrough:///"+addr, rpc.Security{}, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		if !first {
			select {
			case <-again:
			case <-ctx.Done():
			}
		}
		c, err := rpc.Security{}.DialAddr(ctx, addr)
		if err == nil && first {
			first = false
			dialed <- c.LocalAddr().Network()
		}
		return c, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, dialed
}

// Of several servers each is reached over what it has.
func TestAServerWithoutASocketBesideOneWithIt(t *testing.T) {
	none, has := serveBeside(t, "127.0.0.1:0", rpc.Security{NoAbstract: true}), serveBeside(t, "127.0.0.1:0", rpc.Security{})
	for target, want := range map[string]string{
		"127.0.0.1:" + none + ",127.0.0.1:" + has: "tcp", "127.0.0.1:" + has + ",127.0.0.1:" + none: "unix",
	} {
		if got := over(t, target, rpc.Security{}); got != want {
			t.Errorf("%s is reached over %s first", target, got)
		}
	}
}
