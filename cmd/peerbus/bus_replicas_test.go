package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/client"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
)

// manyBuses is a runtime with several buses. Its other parts attach to any of them.
type manyBuses struct {
	*local.Runtime
	buses []*local.Process
	addrs []string
}

func startManyBuses(t *testing.T, s *local.System, id, natsURL string, node *local.Node, n int) *manyBuses {
	t.Helper()
	addrs, err := local.FreeAddrs(n + 3)
	if err != nil {
		t.Fatal(err)
	}
	r := &manyBuses{addrs: addrs[3:], Runtime: &local.Runtime{
		URL: "hyperty-runtime://" + node.Domain + "/" + id, BusAddr: strings.Join(addrs[3:], ","), RegistryAddr: addrs[0], NodeAddr: addrs[1],
		MetricsAddrs: map[string]string{}, Processes: map[string]*local.Process{},
	}}
	start := func(mode string, args ...string) *local.Process {
		p, err := s.Start(mode+" of "+r.URL, append([]string{mode, "--runtime-url", r.URL}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, addr := range r.addrs {
		r.buses = append(r.buses, start("bus", "--bus-addr", addr, "--registry-addr", r.RegistryAddr, "--nats-url", natsURL))
	}
	r.Processes["registry"] = start("registry", "--bus-addr", r.BusAddr, "--registry-addr", r.RegistryAddr, "--data-dir", t.TempDir(),
		"--p2pstub-addr", addrs[2], "--nodestub-addr", r.NodeAddr)
	r.Processes["nodestub"] = start("nodestub", "--bus-addr", r.BusAddr, "--nodestub-addr", r.NodeAddr, "--node", node.Domain+"="+node.GRPCAddr)
	r.Processes["p2pstub"] = start("p2pstub", "--bus-addr", r.BusAddr, "--p2pstub-addr", addrs[2], "--advertise", "127.0.0.1")
	registry, err := rpc.Dial(r.RegistryAddr, rpc.Security{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registry.Close() })
	r.Registry = registry
	return r
}

// attach attaches a client to any of the buses, at first to the i-th.
func (r *manyBuses) attach(t *testing.T, i int) *client.Bus {
	t.Helper()
	addrs := slices.Concat(r.addrs[i:], r.addrs[:i])
	conn, err := client.Dial(strings.Join(addrs, ","), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	b, err := client.New(client.Config{Conn: conn, Name: t.Name(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = b.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-over
	})
	if _, err := b.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return b
}

// Of three buses each may be killed or told to stop at any time, under traffic between
// their clients and with another runtime: nothing is lost, doubled or reordered.
func TestReplicasOfTheBus(t *testing.T) {
	t.Parallel()
	nats, s := startNATS(t), newSystem(t) // which ends first
	node := startNode(t, s)
	bob := startRuntime(t, s, "bob", local.AllInOne, []*local.Node{node})
	alice := startManyBuses(t, s, "alice", nats, node, 3)
	ready(t, alice.Runtime, bob)
	one := end{alice.attach(t, 0), register(t, alice.Runtime, "alice")}
	two := end{alice.attach(t, 1), register(t, alice.Runtime, "carol")}
	other := newEnd(t, bob, "bob")
	var x crossing
	x.start(t, "within", one, two, time.Millisecond)
	x.start(t, "there", two, other, time.Millisecond)
	x.start(t, "back", other, one, time.Millisecond)
	waitConnection(t, alice.Runtime, bob.URL, live)
	for i := range 2 * len(alice.buses) {
		k, how := i%len(alice.buses), "killed"
		if i >= len(alice.buses) {
			how = "told to stop"
		}
		t.Run(fmt.Sprintf("bus %d is %s", k+1, how), func(t *testing.T) {
			x.goOn(testContext(t), t)
			if how == "killed" {
				alice.buses[k].Kill()
			} else if err := alice.buses[k].Stop(); err != nil {
				t.Fatal(err)
			}
			x.goOn(testContext(t), t)
			again, err := s.Restart(alice.buses[k])
			if err != nil {
				t.Fatal(err)
			}
			alice.buses[k] = again
			x.goOn(testContext(t), t)
		})
	}
	x.end(t, testContext)
}
