package p2pstub

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/status"
)

// pathLimits are quick to doubt, and in no hurry to give up: the machine may be busy.
func pathLimits() Limits {
	return Limits{
		Patience: 20 * time.Second, Quiet: time.Second, Heartbeat: 200 * time.Millisecond, Restart: time.Minute, Look: 20 * time.Millisecond,
	}
}

// sees waits until a watcher sees a runtime's one peer as something holds.
func (r *runtime) sees(t *testing.T, what string, holds func(*pb.Peer) bool) {
	t.Helper()
	r.settled(t, what, func() bool {
		p := r.peers()
		return len(p) == 1 && holds(p[0])
	})
}

// A connection whose UDP is cut is doubted, then disconnected; when UDP is back it
// is live again, and the data channel goes on.
func TestPathIsCutAndHealed(t *testing.T) {
	a, b, l := linked(t, pathLimits(), nil)
	overA, overB := setUp(t, a, b)
	for _, r := range []*runtime{a, b} {
		r.sees(t, "no round trip", func(p *pb.Peer) bool { return p.RoundTrip.AsDuration() > 0 && p.Flow })
	}
	_, w, err := a.stub.watch()
	if err != nil {
		t.Fatal(err)
	}
	defer a.stub.unwatch(w)
	l.cut.Store(true)
	a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "sent while it is cut"))
	for _, r := range []*runtime{a, b} {
		if _, last := r.await(t, status.Disconnected); !strings.HasPrefix(last.Reason, "quiet for 1s") {
			t.Errorf("%s: reason %q", r.url, last.Reason)
		}
	}
	var doubted bool
	for p := range w.changes {
		doubted = doubted || p.Doubt && p.State == pb.ConnectionState_CONNECTION_STATE_LIVE
		if p.State == pb.ConnectionState_CONNECTION_STATE_DISCONNECTED {
			if p.Doubt || !doubted {
				t.Errorf("doubted %v, %v", doubted, p)
			}
			break
		}
	}
	l.cut.Store(false)
	for _, r := range []*runtime{a, b} {
		if states, _ := r.await(t, status.Live); len(states) != 1 {
			t.Errorf("%s: %v", r.url, states)
		}
		r.sees(t, "no generation", func(p *pb.Peer) bool { return p.Generation > 0 && !p.Doubt })
	}
	if m := b.arrived(t); m.Id != "1" {
		t.Errorf("%v", m)
	}
	b.through(t, overB, text(2, "hyperty://example/b", "hyperty://example/a", "back"))
	if m := a.arrived(t); m.Id != "2" {
		t.Errorf("%v", m)
	}
}

// A path that does not come back ends the connection, and a new one is set up after
// it.
func TestPathIsCutForLong(t *testing.T) {
	limits := pathLimits()
	limits.Restart = 300 * time.Millisecond
	a, b, l := linked(t, limits, nil)
	setUp(t, a, b)
	l.cut.Store(true)
	for _, r := range []*runtime{a, b} {
		r.await(t, status.Disconnected)
		r.settled(t, "a peer is left", r.empty)
	}
	l.cut.Store(false)
	overA, _ := setUp(t, a, b)
	a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "over the new one"))
	b.arrived(t)
}

// After a change of address on either side the connection is live again, before it
// would have been given up for its silence.
func TestAddressChanges(t *testing.T) {
	for _, mover := range []string{alice, bob} {
		t.Run(mover, func(t *testing.T) {
			var ip atomic.Pointer[netip.Addr]
			set := func(text string) { one := netip.MustParseAddr(text); ip.Store(&one) }
			set("127.0.0.2")
			limits := pathLimits()
			limits.Quiet = 10 * time.Second
			a, b, l := linked(t, limits, func(c *Config) {
				if c.RuntimeURL == mover {
					c.AdvertiseIPs, c.interfaces = nil, func() []netip.Addr { return []netip.Addr{*ip.Load()} }
				}
			})
			overA, overB := setUp(t, a, b)
			for _, r := range []*runtime{a, b} { // else the path has nothing to miss
				r.sees(t, "no round trip", func(p *pb.Peer) bool { return p.RoundTrip.AsDuration() > 0 })
			}
			moved := map[string]*runtime{alice: a, bob: b}[mover]
			set("127.0.0.3")
			l.move(t, moved)
			if _, last := moved.await(t, status.Disconnected); !strings.Contains(last.Reason, "addresses") {
				t.Errorf("reason %q", last.Reason)
			}
			moved.await(t, status.Live)
			for _, r := range []*runtime{a, b} {
				r.sees(t, "not live in another generation", func(p *pb.Peer) bool {
					return p.Generation > 0 && p.State == pb.ConnectionState_CONNECTION_STATE_LIVE && !p.Doubt
				})
			}
			a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "there"))
			b.arrived(t)
			b.through(t, overB, text(2, "hyperty://example/b", "hyperty://example/a", "and back"))
			a.arrived(t)
		})
	}
}

// The first words about a restart are lost: they are said again.
func TestRestartOverALossyNode(t *testing.T) {
	a, b, l := linked(t, pathLimits(), nil)
	setUp(t, a, b)
	var n atomic.Int64
	a.mu.Lock()
	rewrite := a.meddle
	a.meddle = func(m *pb.Message) bool {
		return rewrite(m) || m.Type == "update" && n.Add(1) <= 4
	}
	a.mu.Unlock()
	l.cut.Store(true)
	a.await(t, status.Disconnected)
	b.await(t, status.Disconnected)
	l.cut.Store(false)
	a.await(t, status.Live)
	b.await(t, status.Live)
}

// A bus that stands still holds up data, and no heartbeat.
func TestHeartbeatsPassABusThatStandsStill(t *testing.T) {
	limits := pathLimits()
	limits.Quiet = patience // a busy machine begins no restart, for which that bus would have to go on
	a, b, _ := linked(t, limits, nil)
	overA, _ := setUp(t, a, b)
	b.bus.gate.Lock()
	goOn := sync.OnceFunc(b.bus.gate.Unlock)
	defer goOn() // else nothing could end
	large := strings.Repeat("x", 200_000)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range 40 { // more than is under way and queued anywhere
			a.through(t, overA, text(i, "hyperty://example/a", "hyperty://example/b", large))
		}
	}()
	<-sent
	before := a.counted(t, "round_trip_seconds")
	late, look := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for a.counted(t, "round_trip_seconds") < before+8 {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("no heartbeats are answered: %v", a.peers())
		}
	}
	if p := a.peers(); len(p) != 1 || p[0].State != pb.ConnectionState_CONNECTION_STATE_LIVE {
		t.Errorf("%v", p)
	}
	goOn()
	for range 40 {
		b.arrived(t)
	}
}

// While a data channel has no room the bus gets a little credit now and then, and knows that
// the stub does not hang.
func TestTheBusIsToldOfAFullChannel(t *testing.T) {
	a, b := pair(t)
	overA, _ := setUp(t, a, b)
	b.bus.gate.Lock()
	goOn := sync.OnceFunc(b.bus.gate.Unlock)
	defer goOn()
	for i := range 40 { // more than is under way and queued anywhere
		a.through(t, overA, text(i, "hyperty://example/a", "hyperty://example/b", strings.Repeat("x", 200_000)))
	}
	late, look := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for a.bus.credits.Load() < 4 {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("it was told %d times", a.bus.credits.Load())
		}
	}
	goOn()
	for range 40 {
		b.arrived(t)
	}
}
