package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

// binary is the program as it ships, built once for all tests; under the race
// detector when the tests are.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "peerbus-test-")
	if err != nil {
		fatal(err)
	}
	binary = filepath.Join(dir, "peerbus")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fatal(fmt.Errorf("go build: %w\n%s", err, out))
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func fatal(err error) {
	_, _ = fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// patience bounds every wait of the system tests. It is no verdict on speed:
// these machines may be slow.
const patience = 30 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newSystem makes a system whose processes end with the test. A process that
// does not end well fails the test.
func newSystem(t *testing.T) *local.System {
	t.Helper()
	return newSecureSystem(t, rpc.Security{})
}

func newSecureSystem(t *testing.T, security rpc.Security) *local.System {
	t.Helper()
	s := local.New(local.Config{Binary: binary, Dir: t.TempDir(), Security: security})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// command runs a command of the program in this process.
func command(t *testing.T, environ []string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = execute(testContext(t), args, environ, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestWrongCallsAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte("runtime-ulr: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		env  string
		args []string
		want string
	}{
		{"", []string{"bsu"}, `"bsu"`},
		{"", []string{"bus", "--no-such-flag"}, "no-such-flag"},
		{"", []string{"bus"}, "runtime-url is missing"},
		{"", []string{"bus", "--runtime-url", "bob"}, `runtime-url: "bob" is no runtime address`},
		{"PEERBUS_RUNTIME_URL=bob", []string{"bus"}, `"bob"`},
		{"PEERBUS_RUNTIME_ULR=bob", []string{"bus"}, "PEERBUS_RUNTIME_ULR is no setting"},
		{"", []string{"bus", "--config", file}, `"runtime-ulr" is no setting`},
		{"", []string{"bus", "--runtime-url", "hyperty-runtime://a/b", "--log-level", "loud"}, "log-level"},
		{"", []string{"bus", "--runtime-url", "hyperty-runtime://a/b", "--bus-addr", "0.0.0.0:0"}, "--insecure"},
		{"", []string{"bus", "--runtime-url", "hyperty-runtime://a/b", "--tls-cert", "x"}, "tls-key"},
		{"", []string{"nodestub", "--runtime-url", "hyperty-runtime://a/b", "--node", "a"}, "DOMAIN=HOST:PORT"},
		{"", []string{"nodestub", "--runtime-url", "hyperty-runtime://a/b", "--node", "a=h:1,i"}, "DOMAIN=HOST:PORT[,HOST:PORT]"},
		{"", []string{"listen", "x", "--count", "-1"}, "count"},
		{"", []string{"p2pstub", "--runtime-url", "hyperty-runtime://a/b", "--udp-port", "70000"}, "udp-port"},
		{"", []string{"p2pstub", "--runtime-url", "hyperty-runtime://a/b", "--advertise", "here"}, "advertise"},
		{"", []string{"p2pstub", "--runtime-url", "hyperty-runtime://a/b", "--ice-server", "stun:a,user"}, "ice-server"},
		{"", []string{"p2pstub", "--runtime-url", "hyperty-runtime://a/b", "--ice-server", "example.org"}, "ice-server"},
		{"", []string{"p2pstub", "--runtime-url", "hyperty-runtime://a/b", "--ice-server", "turn:a:3478"}, "ice-server"},
		{"", []string{"registry", "--runtime-url", "hyperty-runtime://a/b", "--p2p", "maybe"}, "p2p"},
		{"", []string{"msgnode"}, "domain is missing"},
		{"", []string{"msgnode", "--domain", "a", "--external-grpc", "h"}, "external-grpc \"h\": want HOST:PORT"},
		{"", []string{"msgnode", "--domain", "a", "--external-grpc", "h:1,:1"}, "endpoints needs a host"},
		{"", []string{"msgnode", "--domain", "a", "--external-grpc", "h:1,i:1"}, "the same --nats-url"},
		{"", []string{"msgnode", "--domain", "a", "--nats-replicas", "3"}, "an embedded NATS keeps 1 replica"},
		{"", []string{"msgnode", "--domain", "a", "--nats-url", "nats://127.0.0.1:1", "--nats-replicas", "9"}, "1 to 5 replicas"},
		{"", []string{"msgnode", "--domain", "a", "--mailbox-time", "-1s"}, "cannot be negative"},
		{"PEERBUS_MAX_SESSIONS=0", []string{"msgnode", "--domain", "a"}, "max-sessions"},
		{"PEERBUS_REGISTRY_ADDR=tcp://10.96.0.7:7401", []string{"bus"}, `registry-addr "tcp://10.96.0.7:7401": want HOST:PORT, without tcp://; is it of a Service of Kubernetes`},
		{"PEERBUS_UDP_PORT=udp://10.96.0.7:3478", []string{"p2pstub"}, "PEERBUS_UDP_PORT: "},
		{"PEERBUS_UDP_PORT=udp://10.96.0.7:3478", []string{"p2pstub"}, "enableServiceLinks: false"},
		{"PEERBUS_REGISTRY_SERVICE_HOST=10.96.0.7", []string{"bus"}, "PEERBUS_REGISTRY_SERVICE_HOST is no setting; is it of a Service of Kubernetes"},
		{"PEERBUS_REGISTRY_ADDR=", []string{"bus"}, "registry-addr is empty"},
		{"", []string{"bus", "--registry-addr", "registry"}, `registry-addr "registry": want HOST:PORT`},
		{"", []string{"bus", "--registry-addr", "registry:"}, "the port is missing"},
		{"", []string{"bus", "--registry-addr", "registry:grpc"}, "port grpc is no number"},
		{"", []string{"bus", "--registry-addr", "a:1,b"}, `"a:1,b": want HOST:PORT`},
		{"", []string{"bus", "--bus-addr", "unix://bus"}, `bus-addr "unix://bus": want unix:///PATH`},
		{"", []string{"status", "--addr", "unix:bus"}, `addr "unix:bus": want unix:///PATH`},
		{"", []string{"bus", "--bus-addr", "unix:///" + strings.Repeat("x", 200)}, "bytes at most, not 201"},
		{"", []string{"bus", "--replica-addr", "unix:///a"}, "want HOST:PORT, without unix://"},
		{"", []string{"bus", "--socket-mode", "rw"}, "want an octal number of permissions"},
		{"", []string{"bus", "--socket-mode", "01777"}, "want an octal number of permissions"},
		{"", []string{"nodestub", "--runtime-url", "hyperty-runtime://a/b", "--node", "a=unix://h"}, "unix:///PATH"},
		{"", []string{"registry", "--probe-addr", "8081"}, `probe-addr "8081": want HOST:PORT`},
		{"", []string{"status", "--addr", "a:70000"}, "port 70000 is no number"},
		{"PEERBUS_NATS_URL=natz://n:4222", []string{"registry"}, `nats-url: "natz://n:4222": a NATS has no natz://`},
		{"PEERBUS_NATS_URL=tcp://10.96.0.7:4222", []string{"msgnode"}, "enableServiceLinks: false"},
		{"", []string{"msgnode", "--nats-url", "nats://a:1,nats://"}, "names no host"},
		{"", []string{"post"}, "arg"},
		{"", []string{"post", "x", "[]"}, "body is not a JSON object"},
		{"", []string{"post", "x", "--wait", "long"}, "wait"},
		{"", []string{"connections", "-o", "xml"}, "table or json"},
		{"", []string{"hyperties", "remove"}, "arg"},
	} {
		code, _, errs := command(t, []string{tc.env}, tc.args...)
		if code != exitUsage || !strings.Contains(errs, tc.want) {
			t.Errorf("%s %v: exit %d, %q; want %q", tc.env, tc.args, code, errs, tc.want)
		}
	}
}

func TestAnAddressThatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	addr := taken.Addr().String()
	code, _, errs := command(t, nil, "bus", "--runtime-url", "hyperty-runtime://a/b", "--bus-addr", addr)
	if code != exitFailed || !contains(errs, "bus: listening on "+addr, "does one run already", "-addr") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// A command that waits for a bus says when what is there is none.
func TestAnotherServiceIsThere(t *testing.T) {
	var secured rpc.Security
	secured.CertFile, secured.KeyFile = testcert.New(t, "authority").Issue(t, "node")
	for name, security := range map[string]rpc.Security{"is another service": {}, "does it want TLS": secured} {
		t.Run(name, func(t *testing.T) {
			srv, err := rpc.NewServer(security, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			lis, err := rpc.Listen("127.0.0.1:0", security)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- rpc.Serve(ctx, srv, lis) }()
			defer func() {
				cancel()
				if err := <-served; err != nil {
					t.Error(err)
				}
			}()
			for _, args := range [][]string{{"listen", "x"}, {"reply", "x", "--template", "{}"}, {"bench", "--listen"}} {
				code, _, errs := command(t, nil, append(args, "--timeout", "100ms", "--bus-addr", lis.Addr().String())...)
				if code != exitFailed || !strings.Contains(errs, name) {
					t.Errorf("%v: exit %d, %q", args, code, errs)
				}
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	for _, args := range [][]string{
		{"status", "--registry-addr", "127.0.0.1:1"},
		{"status", "--wait", "--timeout", "100ms", "--registry-addr", "127.0.0.1:1"},
		{"post", "x", "--bus-addr", "127.0.0.1:1"},
		{"ping", "x", "--registry-addr", "127.0.0.1:1"},
		{"listen", "x", "--timeout", "100ms", "--bus-addr", "127.0.0.1:1"},
	} {
		code, _, errs := command(t, nil, args...)
		if code != exitFailed || !strings.Contains(errs, "nothing answers") {
			t.Errorf("%v: exit %d, %q", args, code, errs)
		}
	}
}
