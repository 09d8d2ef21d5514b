package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
)

// controlled is a runtime with two registries and two p2pstubs.
type controlled struct {
	*local.Runtime
	t      *testing.T
	system *local.System
	parts  map[string]*local.Process // registry 1, registry 2, p2pstub 1, p2pstub 2
	addrs  map[string]string         // of each
}

func startControlled(t *testing.T, s *local.System, id, natsURL string, nodes []*local.Node, extra ...string) *controlled {
	t.Helper()
	addrs, err := local.FreeAddrs(7)
	if err != nil {
		t.Fatal(err)
	}
	r := &controlled{
		t: t, system: s, parts: map[string]*local.Process{}, addrs: map[string]string{},
		Runtime: &local.Runtime{
			URL: "hyperty-runtime://" + nodes[0].Domain + "/" + id, BusAddr: addrs[0], NodeAddr: addrs[1],
			RegistryAddr: addrs[2] + "," + addrs[3], MetricsAddrs: map[string]string{}, Processes: map[string]*local.Process{},
		},
	}
	common := []string{"--runtime-url", r.URL, "--bus-addr", r.BusAddr}
	nats := []string{"--nats-url", natsURL}
	var at []string
	for _, n := range nodes {
		at = append(at, n.GRPCAddr)
	}
	r.Processes["bus"] = r.start("bus", append(common, "--registry-addr", r.RegistryAddr)...)
	r.Processes["nodestub"] = r.start("nodestub", append(common, "--nodestub-addr", r.NodeAddr, "--node", nodes[0].Domain+"="+strings.Join(at, ","))...)
	for i := range 2 {
		name := fmt.Sprint("registry ", i+1)
		r.addrs[name] = addrs[2+i]
		r.parts[name] = r.start("registry", slices.Concat(common, nats, extra, []string{"--registry-addr", addrs[2+i], "--nodestub-addr", r.NodeAddr})...)
		name = fmt.Sprint("p2pstub ", i+1)
		r.addrs[name] = addrs[4+i]
		r.parts[name] = r.start("p2pstub", slices.Concat(common, nats, []string{"--p2pstub-addr", addrs[4+i], "--advertise", "127.0.0.1"})...)
	}
	for addr, conn := range map[string]**grpc.ClientConn{r.BusAddr: &r.Bus, r.RegistryAddr: &r.Registry} {
		c, err := rpc.Dial(addr, rpc.Security{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		*conn = c
	}
	return r
}

func (r *controlled) start(mode string, args ...string) *local.Process {
	r.t.Helper()
	p, err := r.system.Start(mode+" of "+r.URL, append([]string{mode}, args...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// leading gives the registry that leads.
func (r *controlled) leading(ctx context.Context) string {
	r.t.Helper()
	for {
		resp, err := pb.NewRegistryClient(r.Registry).GetRuntime(ctx, &pb.GetRuntimeRequest{})
		for name, addr := range r.addrs {
			if err == nil && resp.LeaderAddr == addr && !r.parts[name].Ended() {
				return name
			}
		}
		if !pause(ctx) {
			r.t.Fatalf("no registry leads: %v, %v", resp, err)
		}
	}
}

// has gives the p2pstub that keeps a connection.
func (r *controlled) has(c *pb.Connection) string {
	for name, addr := range r.addrs {
		if c.ReplicaAddr == addr {
			return name
		}
	}
	return ""
}

// liveAtOneThatRuns waits until the one connection is live, at a p2pstub that runs.
func (r *controlled) liveAtOneThatRuns(ctx context.Context, remote string) *pb.Connection {
	r.t.Helper()
	for {
		resp, err := pb.NewRegistryClient(r.Registry).ListConnections(ctx, &pb.ListConnectionsRequest{})
		if err == nil && len(resp.Connections) == 1 {
			c := resp.Connections[0]
			if at := r.has(c); live(c) && c.RemoteRuntimeUrl == remote && at != "" && !r.parts[at].Ended() {
				return c
			}
		}
		if !pause(ctx) {
			r.t.Fatalf("it is not live again: %v, %v", resp, err)
		}
	}
}

// startControlledAndBob is a runtime with replicas, and another one. They are ready.
func startControlledAndBob(t *testing.T, extra ...string) (alice *controlled, bob *local.Runtime) {
	t.Helper()
	nats, s := startNATS(t), newSystem(t) // which ends first
	node := startNode(t, s)
	bob = startRuntime(t, s, "bob", local.AllInOne, []*local.Node{node})
	alice = startControlled(t, s, "alice", nats, []*local.Node{node}, extra...)
	ready(t, alice.Runtime, bob)
	return alice, bob
}

// bothWays is numbered traffic between the two, from one hyperty of each.
func bothWays(t *testing.T, alice *controlled, bob *local.Runtime) (x crossing) {
	t.Helper()
	a, b := newEnd(t, alice.Runtime, "alice"), newEnd(t, bob, "bob")
	x.start(t, "there", a, b, 2*time.Millisecond)
	x.start(t, "back", b, a, 2*time.Millisecond)
	return x
}

// hasOneEntry checks that a runtime knows one other.
func hasOneEntry(t *testing.T, r *local.Runtime) {
	t.Helper()
	if all := connections(t, r); len(all) != 1 {
		t.Errorf("%s has %d entries: %v", r.URL, len(all), all)
	}
}

// Of two registries and two p2pstubs each may be killed or stopped at any time, under
// traffic: nothing is lost, doubled or reordered, and the one connection is live again.
func TestReplicasOfRegistryAndP2PStub(t *testing.T) {
	t.Parallel()
	alice, bob := startControlledAndBob(t)
	x := bothWays(t, alice, bob)
	alice.liveAtOneThatRuns(testContext(t), bob.URL)

	standsBy := func() string {
		if alice.leading(testContext(t)) == "registry 1" {
			return "registry 2"
		}
		return "registry 1"
	}
	leads := func() string { return alice.leading(testContext(t)) }
	keeps := func() string { return alice.has(alice.liveAtOneThatRuns(testContext(t), bob.URL)) }
	idle := func() string {
		if keeps() == "p2pstub 1" {
			return "p2pstub 2"
		}
		return "p2pstub 1"
	}
	for _, one := range []struct {
		what string
		who  func() string
	}{
		{"the registry that leads", leads}, {"the one that stands by", standsBy},
		{"the p2pstub with the connection", keeps}, {"the other", idle},
	} {
		for how, stop := range map[string]func(*local.Process) error{
			"stopped": (*local.Process).Stop,
			"killed":  func(p *local.Process) error { p.Kill(); return nil },
		} {
			t.Run(one.what+" is "+how, func(t *testing.T) {
				name := one.who()
				if err := stop(alice.parts[name]); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				alice.liveAtOneThatRuns(testContext(t), bob.URL)
				leader := alice.leading(testContext(t))
				t.Logf("%s: live again after %v, %s leads", name, time.Since(began), leader)
				x.goOn(testContext(t), t)
				again, err := alice.system.Restart(alice.parts[name])
				if err != nil {
					t.Fatal(err)
				}
				alice.parts[name] = again
				ready(t, alice.Runtime)
				x.goOn(testContext(t), t)
			})
		}
	}
	x.end(t, testContext)
	hasOneEntry(t, bob)
}

// A runtime that sets up nothing itself is invited: whoever leads takes the invitation,
// and one p2pstub has the connection, also when the one before has just gone.
func TestReplicasAreInvited(t *testing.T) {
	t.Parallel()
	alice, bob := startControlledAndBob(t, "--p2p", "never")
	var x crossing
	x.start(t, "there", newEnd(t, bob, "bob"), newEnd(t, alice.Runtime, "alice"), 2*time.Millisecond)
	invited := func() string {
		c := alice.liveAtOneThatRuns(testContext(t), bob.URL)
		if c.Role != pb.ConnectionRole_CONNECTION_ROLE_HANDLER {
			t.Errorf("alice has set it up: %v", c)
		}
		return alice.has(c)
	}
	name := invited()
	if err := alice.parts[name].Stop(); err != nil {
		t.Fatal(err)
	}
	if other := invited(); other == name {
		t.Errorf("%s has it, which is stopped", other)
	}
	// While nobody leads the invitation waits.
	alice.parts[alice.leading(testContext(t))].Kill()
	if _, err := pb.NewRegistryClient(bob.Registry).Disconnect(testContext(t), &pb.DisconnectRequest{Connection: alice.URL}); err != nil {
		t.Fatal(err)
	}
	waitConnection(t, bob, alice.URL, live)
	invited()
	x.goOn(testContext(t), t)
	x.end(t, testContext)
	hasOneEntry(t, bob)
}
