package rpc_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

// socket gives an address whose path is short enough everywhere.
func socket(t *testing.T) (addr, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	return rpc.UnixScheme + path, path
}

func TestUnixPath(t *testing.T) {
	for addr, want := range map[string]string{
		"unix:///run/bus": "/run/bus", "127.0.0.1:1": "", "unix:1": "error", "unix://run/bus": "error", "unix:///": "error",
		"unix:///run/": "error", "unix:///a b": "error", "unix:///a%20b": "error", "unix:///a,b": "error", "": "",
		"unix:///" + strings.Repeat("x", 200): "error",
	} {
		path, err := rpc.UnixPath(addr)
		if err != nil {
			path = "error"
		}
		if path != want {
			t.Errorf("%q: %q, %v", addr, path, err)
		}
	}
}

// What is taken is a path as it stands.
func FuzzUnixPath(f *testing.F) {
	f.Add("unix:///run/bus")
	f.Add("unix:///run/%2f")
	f.Fuzz(func(t *testing.T, addr string) {
		if path, err := rpc.UnixPath(addr); err == nil && path != "" && (rpc.UnixScheme+path != addr || !strings.HasPrefix(path, "/")) {
			t.Errorf("%q is %q", addr, path)
		}
	})
}

// serveAt runs a server at an address until the test ends or stop is called.
func serveAt(t *testing.T, addr string, s rpc.Security) (stop func()) {
	t.Helper()
	srv, err := rpc.NewServer(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := rpc.Listen(addr, s)
	if err != nil {
		t.Fatal(err)
	}
	if rpc.Exposed(lis, rpc.Security{}) {
		t.Error("it is taken for one that others can reach")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(ctx, srv, lis) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	return stop
}

func TestAUnixSocket(t *testing.T) {
	addr, path := socket(t)
	for mode, s := range map[os.FileMode]rpc.Security{0o600: {}, 0o660: {SocketMode: 0o660}} {
		stop := serveAt(t, addr, s)
		if err := check(t, addr, rpc.Security{}); err != nil {
			t.Error(err)
		}
		if err := check(t, "127.0.0.1:1, "+addr, rpc.Security{}); err != nil {
			t.Errorf("as one of two: %v", err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%v, %v; want %v", info, err, mode)
		}
		stop()
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	}
}

// TLS is for the network: over a socket there is none, with whatever certificates.
func TestAUnixSocketHasNoTLS(t *testing.T) {
	a := testcert.New(t, "ours")
	cert, key := a.Issue(t, "server")
	s := rpc.Security{CertFile: cert, KeyFile: key, CAFile: a.File}
	addr, _ := socket(t)
	defer serveAt(t, addr, s)()
	for _, client := range []rpc.Security{{}, s} {
		if err := check(t, addr, client); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsAtThePathBefore(t *testing.T) {
	addr, path := socket(t)
	stop := serveAt(t, addr, rpc.Security{})
	if _, err := rpc.Listen(addr, rpc.Security{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("one that is used: %v", err)
	}
	stop()
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	serveAt(t, addr, rpc.Security{})()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Listen(addr, rpc.Security{}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
	if _, err := rpc.Listen(addr+"/below", rpc.Security{}); err == nil {
		t.Error("below a file")
	}
	if _, err := rpc.Listen("unix://here", rpc.Security{}); fault.CodeOf(err) != fault.BadRequest {
		t.Errorf("no whole path: %v", err)
	}
	if _, err := rpc.Dial("unix://here", rpc.Security{}); fault.CodeOf(err) != fault.BadRequest {
		t.Errorf("dialing it: %v", err)
	}
	if runtime.GOOS == "linux" {
		long := "unix:///" + strings.Repeat("x", 107)
		if _, err := rpc.UnixPath(long); err == nil || !strings.Contains(err.Error(), "107 bytes at most") {
			t.Error(err)
		}
	}
}

// A listener that ends leaves the socket of another one, that is at its path since.
func TestASocketOfAnotherStays(t *testing.T) {
	addr, path := socket(t)
	stop := serveAt(t, addr, rpc.Security{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	defer serveAt(t, addr, rpc.Security{})()
	stop()
	if err := check(t, addr, rpc.Security{}); err != nil {
		t.Error(err)
	}
}
