package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
)

// manyBuses is a runtime with several buses. Its other parts attach to any of them.
type manyBuses struct {
	*local.Runtime
	buses []*local.Process
	addrs []string
}

func startManyBuses(t *testing.T, s *local.System, id string, node *local.Node, n int) *manyBuses {
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
	nats := startNATS(t)
	for _, addr := range r.addrs {
		r.buses = append(r.buses, start("bus", "--bus-addr", addr, "--registry-addr", r.RegistryAddr, "--nats-url", nats))
	}
	r.Processes["registry"] = start("registry", "--bus-addr", r.BusAddr, "--registry-addr", r.RegistryAddr, "--data-dir", t.TempDir(),
		"--p2pstub-addr", addrs[2], "--nodestub-addr", r.NodeAddr)
	r.Processes["p2pstub"] = start("p2pstub", "--bus-addr", r.BusAddr, "--p2pstub-addr", addrs[2], "--advertise", "127.0.0.1")
	r.Processes["nodestub"] = start("nodestub", "--bus-addr", r.BusAddr, "--nodestub-addr", r.NodeAddr, "--node", node.Domain+"="+node.GRPCAddr)
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

// numbers are numbered messages one way, which have to come once each and in order.
type numbers struct {
	name   string
	posted int64
	came   atomic.Int64
	wrong  atomic.Pointer[string]
	stop   context.CancelFunc
	over   chan error
}

func postNumbers(t *testing.T, from *client.Bus, fromURL string, to *client.Bus, toURL string) *numbers {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	n := &numbers{name: fromURL + " to " + toURL, stop: stop, over: make(chan error, 1)}
	t.Cleanup(stop)
	_, err := to.Listen(testContext(t), toURL, func(_ context.Context, m *pb.Message) {
		if m.From != fromURL {
			return
		}
		if want := strconv.FormatInt(n.came.Load(), 10); m.Id != want {
			n.wrong.CompareAndSwap(nil, new(m.Id+" came in place of "+want))
		}
		n.came.Add(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { n.over <- n.post(ctx, from, fromURL, toURL) }()
	return n
}

func (n *numbers) post(ctx context.Context, by *client.Bus, from, to string) (err error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; err == nil && ctx.Err() == nil; <-tick.C {
		m := numbered(from, to, int(n.posted))
		m.Id = strconv.FormatInt(n.posted, 10)
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		err = by.Post(within, m)
		cancel()
		n.posted++
	}
	return err
}

// goOn waits until more have come.
func (n *numbers) goOn(t *testing.T) {
	t.Helper()
	ctx := testContext(t)
	for want := n.came.Load() + 50; n.came.Load() < want; {
		if !pause(ctx) {
			t.Fatalf("%s: nothing comes after %d", n.name, n.came.Load())
		}
	}
}

// end stops, and checks that all have come.
func (n *numbers) end(t *testing.T) {
	t.Helper()
	n.stop()
	if err := <-n.over; err != nil {
		t.Errorf("%s: %v", n.name, err)
	}
	for ctx := testContext(t); n.came.Load() < n.posted && pause(ctx); {
		continue
	}
	why := "none"
	if p := n.wrong.Load(); p != nil {
		why = *p
	}
	if came := n.came.Load(); came != n.posted || why != "none" {
		t.Errorf("%s: %d were posted, %d came; the first out of its turn: %s", n.name, n.posted, came, why)
	}
	t.Logf("%s: %d", n.name, n.posted)
}

// Of three buses each may be killed or told to stop at any time, under traffic between
// their clients and with another runtime: nothing is lost, doubled or reordered.
func TestReplicasOfTheBus(t *testing.T) {
	s := newSystem(t)
	node := startNode(t, s)
	bob := startRuntime(t, s, "bob", local.AllInOne, []*local.Node{node})
	alice := startManyBuses(t, s, "alice", node, 3)
	for _, r := range []*local.Runtime{alice.Runtime, bob} {
		if err := r.Ready(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	aliceURL, carolURL, bobURL := register(t, alice.Runtime, "alice"), register(t, alice.Runtime, "carol"), register(t, bob, "bob")
	one, two, other := alice.attach(t, 0), alice.attach(t, 1), attachTo(t, bob)
	all := []*numbers{
		postNumbers(t, one, aliceURL, two, carolURL),
		postNumbers(t, two, carolURL, other, bobURL),
		postNumbers(t, other, bobURL, one, aliceURL),
	}
	waitConnection(t, alice.Runtime, bob.URL, live)
	for i := range 2 * len(alice.buses) {
		k, how := i%len(alice.buses), "killed"
		if i >= len(alice.buses) {
			how = "told to stop"
		}
		t.Run(fmt.Sprintf("bus %d is %s", k+1, how), func(t *testing.T) {
			for _, n := range all {
				n.goOn(t)
			}
			if how == "killed" {
				alice.buses[k].Kill()
			} else if err := alice.buses[k].Stop(); err != nil {
				t.Fatal(err)
			}
			for _, n := range all {
				n.goOn(t)
			}
			again, err := s.Restart(alice.buses[k])
			if err != nil {
				t.Fatal(err)
			}
			alice.buses[k] = again
			for _, n := range all {
				n.goOn(t)
			}
		})
	}
	for _, n := range all {
		n.end(t)
	}
}
