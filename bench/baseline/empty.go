package baseline

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/server"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/internal/local"
)

// emptyPackage is the program, by its import path.
const emptyPackage = "github.com/peerbus/peerbus/bench/empty"

// emptyBuild builds the program as `make build` builds peerbus.
var emptyBuild = []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}

// Empty starts empty servers, each a process of a program that has nothing else. As a
// worker of the program bench one has half as much memory again, and takes a third more
// CPU to start, for what is linked in besides.
type Empty struct {
	dir string // of the program
}

// BuildEmpty builds the program, which needs Go, and a working directory in bench.
func BuildEmpty(ctx context.Context) (*Empty, error) {
	dir, err := os.MkdirTemp("", "peerbus-bench-")
	if err != nil {
		return nil, err
	}
	e := &Empty{dir}
	cmd := exec.CommandContext(ctx, "go", append(emptyBuild, "-o", e.program(), emptyPackage)...) // constants
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		_ = e.Close()
		return nil, fmt.Errorf("go build %s, in the directory bench: %w: %s", emptyPackage, err, bytes.TrimSpace(out))
	}
	return e, nil
}

func (e *Empty) program() string { return filepath.Join(e.dir, "empty") }

// Close removes the program.
func (e *Empty) Close() error { return os.RemoveAll(e.dir) }

// Start starts one, with an empty store of its own.
func (e *Empty) Start(ctx context.Context) (*drive.Started, error) {
	addrs, err := local.FreeAddrs(2)
	if err != nil {
		return nil, err
	}
	return e.startAt(ctx, addrs[0], addrs[1])
}

// startAt starts one at these addresses.
func (e *Empty) startAt(ctx context.Context, grpcAddr, natsAddr string) (*drive.Started, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	store, err := os.MkdirTemp("", "peerbus-bench-")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	cfg := server.EmptyConfig{Addr: grpcAddr, NATS: server.NATSConfig{Addr: natsAddr, Store: store}}
	p, err := worker.StartProgram(ctx, e.program(), server.EmptyRole, cfg)
	if err != nil {
		_ = os.RemoveAll(store)
		return nil, err
	}
	took := time.Since(began)
	return &drive.Started{PID: p.PID(), Took: took, Close: func() error {
		defer func() { _ = os.RemoveAll(store) }()
		return p.Close()
	}}, nil
}
