package main

import (
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// glareRounds is how often both sides start at the same moment.
const glareRounds = 200

// Both sides start a connection at the same moment: one connection and one
// table entry on each side, each time (wire contract, section 7).
func TestGlare(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.AllInOne, local.AllInOne)
	for round := range glareRounds {
		failed := make(chan error, 2)
		start := make(chan struct{})
		for r, address := range map[*local.Runtime]string{p.alice: p.bobURL, p.bob: p.aliceURL} {
			go func() {
				<-start
				_, err := pb.NewRegistryClient(r.Registry).Connect(t.Context(), &pb.ConnectRequest{Address: address})
				failed <- err
			}()
		}
		close(start)
		for range 2 {
			if err := <-failed; err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		atAlice := waitConnection(t, p.alice, p.bob.URL, live)
		atBob := waitConnection(t, p.bob, p.alice.URL, live)
		if atAlice.Role == atBob.Role {
			t.Fatalf("round %d: both are %v", round, atAlice.Role)
		}
		for _, r := range []*local.Runtime{p.alice, p.bob} {
			if all := connections(t, r); len(all) != 1 {
				t.Fatalf("round %d: %s has %d entries: %v", round, r.URL, len(all), all)
			}
		}
		p.disconnect(t, round)
	}
	for _, r := range []*local.Runtime{p.alice, p.bob} {
		for ctx := testContext(t); counter(t, r.MetricsAddrs["runtime"], "peerbus_p2pstub_peers") != 0; {
			if !pause(ctx) { // closing takes a moment
				t.Errorf("%s keeps peer connections", r.URL)
				break
			}
		}
	}
}

// disconnect ends the connection from one side, and waits until both have no
// entry that is up.
func (p *pair) disconnect(t *testing.T, round int) {
	t.Helper()
	by, other := p.alice, p.bob
	if round%2 == 1 {
		by, other = other, by
	}
	_, err := pb.NewRegistryClient(by.Registry).Disconnect(testContext(t), &pb.DisconnectRequest{Connection: other.URL})
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	for _, r := range []*local.Runtime{by, other} {
		for ctx := testContext(t); ; {
			all := connections(t, r)
			if len(all) == 0 || !live(all[0]) {
				break
			}
			if !pause(ctx) {
				t.Fatalf("round %d: %s still has %v", round, r.URL, all)
			}
		}
	}
}
