package p2pstub

import (
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// replace deploys a requester beside the connection that there is.
func (r *runtime) replace(t *testing.T, to *runtime, id string) string {
	t.Helper()
	url := address.Requester(r.url, id)
	if err := r.deploy(t, to, url, true); err != nil {
		t.Fatal(err)
	}
	return url
}

// alone waits until there is one peer, of a stub, that is live. No watcher is told of
// the end of one that was replaced, so it looks again and again.
func (r *runtime) alone(t *testing.T, stub string) {
	t.Helper()
	late, look := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for {
		p := r.peers()
		if r.total() == 1 && len(p) == 1 && (stub == "" || p[0].StubUrl == stub) && p[0].State == pb.ConnectionState_CONNECTION_STATE_LIVE {
			return
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%s: not one live peer of %q, but %d: %v", r.url, stub, r.total(), p)
		}
	}
}

// A worn connection is replaced without a pause: no message is lost, and the other
// side's registry hears nothing of it. So is the one after it, by either side.
func TestReplacement(t *testing.T) {
	w := newWorld()
	limits := testLimits()
	limits.Age = time.Millisecond
	a, b := w.join(t, alice, limits), w.join(t, bob, limits)
	overA, overB := setUp(t, a, b)
	for _, r := range []*runtime{a, b} {
		r.sees(t, "not worn", func(p *pb.Peer) bool { return p.Worn })
	}
	const each = 3000
	var traffic sync.WaitGroup
	traffic.Go(func() {
		for i := range each {
			a.through(t, overA, text(i, "hyperty://example/a", "hyperty://example/b", "x"))
			b.through(t, overB, text(i, "hyperty://example/b", "hyperty://example/a", "x"))
		}
	})
	first := a.replace(t, b, "first")
	if states, _ := a.await(t, status.Live); strings.Join(states, " ") != "created in-progress live" {
		t.Errorf("%v", states)
	}
	a.register(t, first, bob, "a")
	a.alone(t, first)
	b.alone(t, b.handler)
	second := b.replace(t, a, "second")
	b.await(t, status.Live)
	b.register(t, second, alice, "b")
	b.alone(t, second)
	a.alone(t, a.handler)
	third := b.replace(t, a, "third")
	b.await(t, status.Live)
	b.register(t, third, alice, "b")
	b.alone(t, third)
	a.alone(t, a.handler)
	traffic.Wait()
	for _, r := range []*runtime{a, b} {
		seen := map[string]bool{}
		for range each {
			seen[r.arrived(t).Id] = true
		}
		if len(seen) != each {
			t.Errorf("%s: %d of %d messages", r.url, len(seen), each)
		}
	}
	for _, r := range []*runtime{a, b} {
		for len(r.bus.status) > 0 {
			if s := <-r.bus.status; s.State == status.Disconnected || s.State == status.Failed {
				t.Errorf("%s is told %v: %s", r.url, s.State, s.Reason)
			}
		}
	}
	if p := b.peers(); len(p[0].Listeners) != 1 || p[0].Listeners[0] != overB {
		t.Errorf("%v", p)
	}
}

// The number of DTLS records wears a connection out, too.
func TestRecordsWear(t *testing.T) {
	w := newWorld()
	limits := testLimits()
	limits.Records, limits.Heartbeat = 60, 20*time.Millisecond
	a, b := w.join(t, alice, limits), w.join(t, bob, testLimits())
	setUp(t, a, b)
	a.sees(t, "not worn", func(p *pb.Peer) bool { return p.Worn })
}

// A replacement that fails changes nothing of the connection that there is.
func TestReplacementFails(t *testing.T) {
	w := newWorld()
	limits := testLimits()
	limits.SetUp = 500 * time.Millisecond
	a, b := w.join(t, alice, limits), w.join(t, bob, testLimits())
	overA, _ := setUp(t, a, b)
	stub := a.peers()[0].StubUrl
	w.mu.Lock()
	w.meddle = func(m *pb.Message) bool { return m.Type == message.Create && strings.HasPrefix(m.To, bob) }
	w.mu.Unlock()
	a.replace(t, b, "lost")
	if states, _ := a.await(t, status.Failed); len(states) != 2 {
		t.Errorf("%v", states)
	}
	a.alone(t, stub)
	a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "there"))
	b.arrived(t)
}

// The old connection ends while its heir is being set up: that becomes an ordinary
// set-up.
func TestOldOneEndsBeforeItsHeirIsLive(t *testing.T) {
	w := newWorld()
	hold := make(chan struct{})
	var once sync.Once
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	old := a.peers()[0].StubUrl
	w.mu.Lock()
	w.meddle = func(m *pb.Message) bool {
		if m.Type == message.Create && strings.HasPrefix(m.To, bob) {
			once.Do(func() {
				if _, err := a.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: old, Reason: "enough"}); err != nil {
					t.Error(err)
				}
				close(hold)
			})
		}
		return false
	}
	w.mu.Unlock()
	heir := a.replace(t, b, "heir")
	<-hold
	a.alone(t, heir)
	b.alone(t, b.handler)
	states, _ := b.await(t, status.Live)
	if !strings.HasPrefix(states[0], "disconnected ") {
		t.Errorf("%v", states)
	}
}

// Both sides replace at once: one of the two new ones is left.
func TestBothReplace(t *testing.T) {
	limits := testLimits()
	limits.Linger = 100 * time.Millisecond
	w := newWorld()
	a, b := w.join(t, alice, limits), w.join(t, bob, limits)
	setUp(t, a, b)
	var both sync.WaitGroup
	for _, ends := range [][2]*runtime{{a, b}, {b, a}} {
		both.Go(func() {
			if err := ends[0].deploy(t, ends[1], address.Requester(ends[0].url, "new"), true); err != nil && fault.CodeOf(err) != fault.Conflict {
				t.Logf("%v", err) // the other side's goes first
			}
		})
	}
	both.Wait()
	for _, r := range []*runtime{a, b} {
		r.alone(t, "")
	}
}
