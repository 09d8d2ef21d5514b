//go:build unix

package main

import (
	"context"
	"syscall"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
)

// at is the API of one replica of the registry.
func (r *controlled) at(name string) pb.RegistryClient {
	r.t.Helper()
	conn, err := rpc.Dial(r.addrs[name], rpc.Security{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return pb.NewRegistryClient(conn)
}

// says waits until a replica says of itself or another that it leads.
func says(t *testing.T, api pb.RegistryClient, leader string) {
	t.Helper()
	for ctx := testContext(t); ; {
		within, cancel := context.WithTimeout(ctx, time.Second)
		resp, err := api.GetRuntime(within, &pb.GetRuntimeRequest{})
		cancel()
		if err == nil && resp.LeaderAddr == leader {
			return
		}
		if !pause(ctx) {
			t.Fatalf("%s does not lead: %v, %v", leader, resp, err)
		}
	}
}

func signalTo(t *testing.T, p *local.Process, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(p.PID(), s); err != nil {
		t.Fatal(err)
	}
}

// A registry that leads is paused until another one leads, and goes on in the belief that
// it does. It undoes nothing: what is live stays so, what was registered and closed by the
// other stays that, and no message is lost.
func TestThePausedLeaderComesBack(t *testing.T) {
	t.Parallel()
	alice, bob := startControlledAndBob(t)
	left := register(t, alice.Runtime, "left")
	x := bothWays(t, alice, bob)
	kept := x.courses[0].from.url
	before := alice.liveAtOneThatRuns(testContext(t), bob.URL)

	old := alice.leading(testContext(t))
	next := "registry 1"
	if old == next {
		next = "registry 2"
	}
	atOld, atNext := alice.at(old), alice.at(next)
	signalTo(t, alice.parts[old], syscall.SIGSTOP)
	resumed := false
	defer func() {
		if !resumed {
			signalTo(t, alice.parts[old], syscall.SIGCONT)
		}
	}()
	says(t, atNext, alice.addrs[next])
	if _, err := atNext.Unregister(testContext(t), &pb.UnregisterRequest{Url: left}); err != nil {
		t.Fatal(err)
	}
	x.goOn(testContext(t), t)
	signalTo(t, alice.parts[old], syscall.SIGCONT)
	resumed = true
	says(t, atOld, alice.addrs[next])
	x.goOn(testContext(t), t)
	says(t, atNext, alice.addrs[next])
	all, err := atNext.ListConnections(testContext(t), &pb.ListConnectionsRequest{})
	if err != nil || len(all.Connections) != 1 || !live(all.Connections[0]) || all.Connections[0].Id != before.Id || all.Connections[0].StubUrl != before.StubUrl {
		t.Errorf("the connection was %v and is %v: %v", before, all, err)
	}
	registered, err := atOld.ListRegistrations(testContext(t), &pb.ListRegistrationsRequest{})
	if err != nil || len(registered.Registrations) != 1 || registered.Registrations[0].Url != kept {
		t.Errorf("registered is %v: %v", registered, err)
	}
	x.end(t, testContext)
	hasOneEntry(t, bob)
}
