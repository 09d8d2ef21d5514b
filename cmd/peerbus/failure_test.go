package main

import (
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/olderpeer"
)

// ICE cannot succeed, as the other side has no candidate: the connection fails
// with its reason, messages go on over the Message Node, and nothing is left of
// the attempt.
func TestICECannotSucceed(t *testing.T) {
	t.Parallel()
	m := meet(t, olderpeer.Config{NoCandidates: true})
	post(t, m.bob, pingOf(m.bobURL, m.olderURL, 0))
	m.receive(t)
	failed := waitConnection(t, m.bob, m.older.RuntimeURL(), func(c *pb.Connection) bool {
		return c.State == pb.ConnectionState_CONNECTION_STATE_FAILED
	})
	if failed.Reason == "" {
		t.Error("no reason is given")
	}
	t.Logf("it failed: %s", failed.Reason)
	code, out, errs := command(t, nil, "connections", "--registry-addr", m.bob.RegistryAddr)
	if code != 0 || !contains(out, "failed", failed.Reason) {
		t.Errorf("connections: exit %d, %s%s", code, out, errs)
	}
	post(t, m.bob, pingOf(m.bobURL, m.olderURL, 1))
	if got := m.receive(t); got.Path != olderpeer.Node || got.Body["value"] != 1.0 {
		t.Errorf("it came by %v: %v", got.Path, got.Body)
	}
	if n := counter(t, m.bob.MetricsAddrs["runtime"], "peerbus_p2pstub_peers"); n > 1 { // the next attempt may have begun
		t.Errorf("%d peer connections are left", n)
	}
}

// A stranger invites a runtime in the name of another one. The connection between those two
// stays as it is.
func TestAStrangersInvitation(t *testing.T) {
	t.Parallel()
	system := newSystem(t)
	node := startNode(t, system)
	alice := startRuntime(t, system, "alice", local.AllInOne, []*local.Node{node})
	bob := startRuntime(t, system, "bob", local.AllInOne, []*local.Node{node})
	ready(t, alice)
	ready(t, bob)
	post(t, bob, pingOf(register(t, bob, "bob"), register(t, alice, "alice"), 0))
	before := waitConnection(t, bob, alice.URL, live)
	about, err := pb.NewRegistryClient(bob.Registry).GetRuntime(testContext(t), &pb.GetRuntimeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := olderpeer.Start(testContext(t), olderpeer.Config{
		RuntimeURL: "runtime://example.org/stranger", Nodes: map[string]string{"example.org": "ws://" + node.HTTPAddr + "/ws"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stranger.Close)
	requester := alice.URL + "/p2prequester/forged"
	const object = "connection://example.org/forged"
	err = stranger.Send(testContext(t), olderpeer.Message{
		Type: "create", From: object + "/subscription", To: about.P2PHandlerUrl,
		Body: olderpeer.Body{"source": requester, "resource": object, "value": olderpeer.Body{"runtime": alice.URL, "reporter": requester}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for ctx := testContext(t); counter(t, bob.MetricsAddrs["runtime"], "peerbus_p2pstub_peers") != 2; {
		if !pause(ctx) {
			t.Fatal("nothing is set up beside the connection")
		}
	}
	if now := waitConnection(t, bob, alice.URL, func(*pb.Connection) bool { return true }); now.State != before.State || now.StubUrl != before.StubUrl {
		t.Errorf("the connection was %v, and is %v", before, now)
	}
}
