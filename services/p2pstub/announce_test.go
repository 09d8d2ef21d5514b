package p2pstub

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// A peer that has announced neither heartbeats nor flows gets none, and what ICE
// says of the path is all there is.
func TestPeerThatAnnouncesNothing(t *testing.T) {
	limits := testLimits()
	limits.Quiet, limits.Heartbeat = 100*time.Millisecond, 20*time.Millisecond
	limits.Patience, limits.RestQuiet = time.Second, 2*time.Second
	a, b, l := linked(t, limits, nil)
	a.mu.Lock()
	rewrite := a.meddle
	announced := regexp.MustCompile(`"(flow|heartbeat)":(\["peerbus.v1"\]|true),?`)
	a.meddle = func(m *pb.Message) bool {
		lost := rewrite(m)
		m.Body = announced.ReplaceAll(m.Body, nil)
		if bytes.Contains(m.Body, []byte("generation")) {
			t.Errorf("%s", m.Body)
		}
		return lost
	}
	a.mu.Unlock()
	overA, _ := setUp(t, a, b)
	m := text(1, "hyperty://example/a", "hyperty://example/b", "x")
	m.Origin, m.Number, m.Flow = []byte("someone"), 7, &pb.Flow{Runtime: alice, Epoch: 1, Id: 1, Sequence: 1}
	a.through(t, overA, m)
	if got := b.arrived(t); got.Flow != nil || got.Number != 0 || len(got.Origin) != 0 {
		t.Errorf("%v", got)
	}
	l.cut.Store(true)
	for _, r := range []*runtime{a, b} {
		if _, last := r.await(t, status.Disconnected); last.Reason != "the path has gone quiet" {
			t.Errorf("reason %q", last.Reason)
		}
		r.settled(t, "a peer is left", r.empty) // ICE has given it up
	}
	if n := a.counted(t, "round_trip_seconds") + a.counted(t, "ice_restarts_total", "requester"); n != 0 {
		t.Errorf("%v heartbeats and restarts", n)
	}
}

// Flows go to those who have announced them.
func TestFlowsAreHandedOn(t *testing.T) {
	a, b := pair(t)
	overA, _ := setUp(t, a, b)
	a.sees(t, "flows are not announced", func(p *pb.Peer) bool { return p.Flow })
	m := text(1, "hyperty://example/a", "hyperty://example/b", "x")
	m.Origin, m.Number, m.Flow = []byte("someone"), 7, &pb.Flow{Runtime: alice, Epoch: 1, Id: 1, Sequence: 1}
	m.Via = "elsewhere"
	a.through(t, overA, m)
	if got := b.arrived(t); got.Flow.GetSequence() != 1 || got.Number != 7 || string(got.Origin) != "someone" {
		t.Errorf("%v", got)
	}
}

// withoutHeartbeats makes all peers older ones, for meddle.
func withoutHeartbeats(m *pb.Message) bool {
	m.Body = bytes.ReplaceAll(m.Body, []byte(`"heartbeat":true,`), nil)
	return false
}

// An older peer that has sent too much over one connection is let go, to connect anew.
func TestOlderPeerWears(t *testing.T) {
	w := newWorld()
	w.meddle = withoutHeartbeats
	limits := testLimits()
	limits.Records, limits.Heartbeat = 100, 20*time.Millisecond
	a, b := w.join(t, alice, limits), w.join(t, bob, testLimits())
	overA, _ := setUp(t, a, b)
	for i := range 200 {
		a.through(t, overA, text(i, "hyperty://example/a", "hyperty://example/b", strings.Repeat("x", 1000)))
	}
	if _, last := a.await(t, status.Disconnected); last.Reason != "worn: it has sent as many DTLS records as one may" {
		t.Errorf("reason %q", last.Reason)
	}
}

// When a stub stops, its peers are told, and a bus that stands still does not hold
// it up.
func TestStopTellsThePeers(t *testing.T) {
	w := newWorld()
	told := make(chan string, 10)
	w.meddle = func(m *pb.Message) bool {
		if m.Type == message.Delete && strings.HasPrefix(m.Source, alice) {
			told <- datasync.DeleteReason(m)
		}
		return false
	}
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	a.stop()
	b.await(t, status.Disconnected)
	if reason := <-told; reason != "the P2P stub stops" {
		t.Errorf("reason %q", reason)
	}
}

func TestStopWhileTheBusStandsStill(t *testing.T) {
	w := newWorld()
	limits := testLimits()
	limits.Stop = 100 * time.Millisecond
	a, b := w.join(t, alice, limits), w.join(t, bob, testLimits())
	setUp(t, a, b)
	a.bus.gate.Lock()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.halt()
	}()
	select {
	case <-stopped:
	case <-time.After(patience):
		t.Error("it waits for the bus")
	}
	a.bus.gate.Unlock()
}

// A pulse takes answers to its own heartbeats only, each once.
func TestAnswersThatWereNotAskedFor(t *testing.T) {
	a, b := pair(t)
	setUp(t, a, b)
	a.sees(t, "no round trip", func(p *pb.Peer) bool { return p.RoundTrip != nil })
	a.stub.mu.Lock()
	u := a.stub.peers[bob].pulse.Load()
	a.stub.mu.Unlock()
	u.mu.Lock()
	u.number, u.sent = 100, [sentBeats]time.Time{}
	u.sent[100%sentBeats], u.smoothed = time.Now().Add(-time.Minute), 0
	u.mu.Unlock()
	for _, number := range []uint64{101, 1 << 63, 84, 99} {
		u.answered(number)
	}
	u.mu.Lock()
	smoothed := u.smoothed
	u.mu.Unlock()
	if smoothed > time.Second {
		t.Errorf("%v", smoothed)
	}
	u.answered(100)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.smoothed < time.Second {
		t.Errorf("%v", u.smoothed)
	}
}

// What is announced is read.
func TestAnnouncedPacketsAreRead(t *testing.T) {
	p := &peer{stub: &Stub{}}
	if says, reads := p.data(datasync.Description{}).Packet, largestPacket(framing.PeerBus); says == 0 || says > reads {
		t.Errorf("packets of %d bytes are announced, of %d are read", says, reads)
	}
}
