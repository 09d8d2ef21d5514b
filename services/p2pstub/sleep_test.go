package p2pstub

import (
	"testing"
	"time"
)

// peerOf is the peer with another runtime.
func (r *runtime) peerOf(remote string) *peer {
	r.stub.mu.Lock()
	defer r.stub.mu.Unlock()
	return r.stub.peers[remote]
}

func (p *peer) isAsleep() bool {
	p.sleep.Lock()
	defer p.sleep.Unlock()
	return p.asleep
}

// soon waits until something holds that nobody tells of.
func soon(t *testing.T, otherwise string, holds func() bool) {
	t.Helper()
	late, look := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			t.Fatal(otherwise)
		}
	}
}

// The loop of a connection at rest sleeps, passes on what comes all the same, sleeps
// again, and ends when it is to.
func TestLoopSleepsInARest(t *testing.T) {
	limits := pathLimits()
	limits.Rest = 50 * time.Millisecond
	w := newWorld()
	a, b := w.join(t, alice, limits), w.join(t, bob, limits)
	overA, overB := setUp(t, a, b)
	pa, pb := a.peerOf(bob), b.peerOf(alice)
	for i := range 3 {
		soon(t, "a loop does not sleep", func() bool { return pa.isAsleep() && pb.isAsleep() })
		a.through(t, overA, text(i, "hyperty://example/a", "hyperty://example/b", "there"))
		b.arrived(t)
		b.through(t, overB, text(i, "hyperty://example/b", "hyperty://example/a", "back"))
		a.arrived(t)
	}
	soon(t, "a loop does not sleep", func() bool { return pa.isAsleep() && pb.isAsleep() })
	a.stub.close(t.Context(), pa.url, "", "enough")
	for _, r := range []*runtime{a, b} {
		soon(t, "a peer is left", r.empty)
	}
}

// What is sent while the loop falls asleep is not left lying, whoever of the two is first.
func TestNothingIsSleptOver(t *testing.T) {
	p := &peer{inbox: make(chan func(), 1), done: make(chan struct{}), stub: &Stub{}}
	u := &pulse{}
	u.resting.Store(true)
	p.pulse.Store(u)
	p.asleep = true
	taken := make(chan struct{})
	for range 10_000 {
		p.post(func() { taken <- struct{}{} })
		<-taken
	}
	soon(t, "it does not sleep", p.isAsleep)
}
