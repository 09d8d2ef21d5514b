package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The program has what its two servers import, and of ours what starts them.
func TestNothingElseIsLinkedIn(t *testing.T) {
	libraries := deps(t, "google.golang.org/grpc/health", "github.com/nats-io/nats-server/v2/server")
	const bench = "github.com/peerbus/peerbus/bench/"
	ours := []string{bench + "empty", bench + "internal/server", bench + "internal/worker"}
	for _, p := range deps(t, ".") {
		if !slices.Contains(libraries, p) && !slices.Contains(ours, p) {
			t.Errorf("%s is linked in", p)
		}
	}
}

// deps of packages, they themselves among them.
func deps(t *testing.T, packages ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps"}, packages...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
