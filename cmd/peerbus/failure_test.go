package main

import (
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
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
