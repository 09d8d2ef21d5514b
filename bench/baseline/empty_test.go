package baseline

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/peerbus/peerbus/internal/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An idle runtime is compared with a program that serves gRPC and JetStream.
func TestEmptyServes(t *testing.T) {
	empty := built(t)
	addrs, err := local.FreeAddrs(2)
	if err != nil {
		t.Fatal(err)
	}
	p, err := empty.startAt(t.Context(), addrs[0], addrs[1])
	if err != nil {
		t.Fatal(err)
	}
	checkHealth(t, addrs[0])
	checkJetStream(t, addrs[1])
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func checkHealth(t *testing.T, addr string) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answer, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", answer, err)
	}
}

func checkJetStream(t *testing.T, addr string) {
	t.Helper()
	conn, err := nats.Connect("nats://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.AccountInfo(); err != nil {
		t.Errorf("JetStream: %v", err)
	}
}

// The program is built as peerbus is: with the same flags, and so without symbols.
func TestEmptyIsBuiltAsPeerbusIs(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	flags := emptyBuild[1 : len(emptyBuild)-1]
	for _, want := range []string{"\nBUILD   := " + strings.Join(flags, " ") + " '" + emptyBuild[len(emptyBuild)-1] + " -X ", "\n\tCGO_ENABLED=0 $(GO) build $(BUILD) -o $(BIN)"} {
		if !strings.Contains(string(makefile), want) {
			t.Errorf("the Makefile has no %q", want)
		}
	}
	program := built(t).program()
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if info.Path != emptyPackage || settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" {
		t.Errorf("%s", info)
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Symbols(); !errors.Is(err, elf.ErrNoSymbols) {
		t.Errorf("it has symbols: %v", err)
	}
}

func TestEmptyThatCannotBeBuilt(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := BuildEmpty(t.Context()); err == nil || !strings.Contains(err.Error(), "in the directory bench") {
		t.Error(err)
	}
}

func built(t *testing.T) *Empty {
	t.Helper()
	empty, err := BuildEmpty(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := empty.Close(); err != nil {
			t.Error(err)
		}
	})
	return empty
}
