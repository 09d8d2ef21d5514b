package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/local"
)

// askTimeout bounds one question to NATS.
const askTimeout = 2 * time.Second

// part is one process of a system that is stopped and started again.
type part struct {
	name    string
	process *local.Process
}

// natsCluster is three servers of NATS with JetStream, each a process.
type natsCluster struct {
	urls    []string
	servers []*part
	js      jetstream.JetStream
}

// startNATSCluster builds the server that this module depends on, and runs three.
func startNATSCluster(t *testing.T, s *local.System) *natsCluster {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "nats-server")
	build := exec.Command("go", "build", "-o", program, "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ports, err := local.FreeAddrs(6)
	if err != nil {
		t.Fatal(err)
	}
	clients, routes := ports[:3], ports[3:]
	c := &natsCluster{}
	for i, addr := range clients {
		name := fmt.Sprintf("nats-%d", i+1)
		file := filepath.Join(dir, name+".conf")
		if err := os.WriteFile(file, natsConfig(name, addr, filepath.Join(dir, name), routes, routes[i]), 0o600); err != nil {
			t.Fatal(err)
		}
		process, err := s.StartProgram(program, name, "-c", file)
		if err != nil {
			t.Fatal(err)
		}
		c.urls = append(c.urls, "nats://"+addr)
		c.servers = append(c.servers, &part{name, process})
	}
	c.connect(t)
	return c
}

func natsConfig(name, addr, dir string, routes []string, route string) []byte {
	return fmt.Appendf(nil, `server_name: %s
listen: %q
max_payload: %d
jetstream { store_dir: %q }
cluster {
  name: peerbus
  listen: %q
  routes: ["nats://%s"]
}
`, name, addr, engine.MaxPayload, dir, route, strings.Join(routes, `", "nats://`))
}

func (c *natsCluster) url() string { return strings.Join(c.urls, ",") }

func (c *natsCluster) connect(t *testing.T) {
	t.Helper()
	conn, err := nats.Connect(c.url(), nats.MaxReconnects(-1), nats.ReconnectWait(pollPause), nats.RetryOnFailedConnect(true))
	if err == nil {
		t.Cleanup(conn.Close)
		c.js, err = jetstream.New(conn)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// whole waits until all servers have all of each stream, so that any of them may be
// lost.
func (c *natsCluster) whole(ctx context.Context, t *testing.T, streams ...string) {
	t.Helper()
	for _, name := range streams {
		for {
			err := c.isWhole(ctx, name)
			if err == nil {
				break
			}
			if !pause(ctx) {
				t.Fatalf("stream %s is not whole: %v", name, err)
			}
		}
	}
}

func (c *natsCluster) isWhole(ctx context.Context, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout) // what is asked while a leader is chosen is not answered
	defer cancel()
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	cluster := s.CachedInfo().Cluster
	if cluster == nil || cluster.Leader == "" || len(cluster.Replicas) != len(c.servers)-1 {
		return fmt.Errorf("its cluster is %+v", cluster)
	}
	for _, r := range cluster.Replicas {
		if !r.Current || r.Offline {
			return fmt.Errorf("%s is not current: %+v", r.Name, r)
		}
	}
	return nil
}
