package p2pstub

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// still is a stub that does not run, for what happens under its mutex.
func still() *Stub {
	limits := DefaultLimits()
	m := newMetrics(nil)
	return &Stub{
		limits: limits, metrics: m, peers: map[string]*peer{}, heirs: map[string]*peer{}, newcomers: map[string]*peer{}, all: map[*peer]bool{},
		minibus: map[string]*lead{}, watchers: watchers{limits: limits, all: map[*watcher]bool{}, noted: map[*peer]bool{}, metrics: m},
	}
}

func (s *Stub) peerOf(r role, url string) *peer {
	p := &peer{stub: s, url: url, role: r, remote: bob, done: make(chan struct{}), info: &pb.Peer{StubUrl: url}}
	p.now = standing{role: r, state: status.InProgress, stub: url}
	return p
}

// A connection that is succeeded while it is being set up has no channel yet.
func TestSucceededWhileItIsSetUp(t *testing.T) {
	s := still()
	p, heir := s.peerOf(handler, "h"), s.peerOf(requester, "r")
	u := &pulse{}
	u.heardAny.Store(true)
	heir.pulse.Store(u)
	p.successor = heir
	if !p.canEnd(s.limits.Linger / 2) {
		t.Error("it stays")
	}
}

// An heir whose place another has taken is not the current one for the moment until
// it gives way, and does not take the other's place from it.
func TestHeirThatIsAboutToGiveWay(t *testing.T) {
	s := still()
	old, first, second := s.peerOf(handler, "h"), s.peerOf(handler, "h"), s.peerOf(handler, "h")
	first.place, first.muted, second.place, second.muted = asHeir, true, asHeir, true
	s.peers[bob], s.heirs[bob] = old, second
	if by, say := s.moved(first, status.Live, ""); by.old != nil || len(say) != 0 {
		t.Errorf("%v, %v", by, say)
	}
	if s.peers[bob] != old || s.heirs[bob] != second {
		t.Error("it has taken a place")
	}
	if by, _ := s.moved(second, status.Live, ""); by.old != old || by.ends || s.peers[bob] != second {
		t.Error("the other has not")
	}
}

// The registry is told of an heir that takes the place of what is being set up.
func TestHeirOfWhatIsBeingSetUp(t *testing.T) {
	s := still()
	old, heir := s.peerOf(handler, "h"), s.peerOf(handler, "h")
	heir.place, heir.muted = asHeir, true
	s.peers[bob], s.heirs[bob] = old, heir
	if _, say := s.moved(heir, status.Live, ""); !slices.Equal(say, []status.State{status.Live}) {
		t.Errorf("%v", say)
	}
}

// An address that comes for a connection which has just been succeeded leads over the
// one that stands for it now.
func TestAddressForAConnectionThatWasReplaced(t *testing.T) {
	limits := testLimits()
	limits.Linger = time.Hour
	w := newWorld()
	a, b := w.join(t, alice, limits), w.join(t, bob, limits)
	setUp(t, a, b)
	b.stub.mu.Lock()
	old := b.stub.peers[alice]
	b.stub.mu.Unlock()
	a.replace(t, b, "new")
	a.await(t, status.Live)
	b.settled(t, "it is not replaced", func() bool {
		b.stub.mu.Lock()
		defer b.stub.mu.Unlock()
		return old.successor != nil
	})
	for range 2 {
		if err := b.stub.lead(t.Context(), "late", old); err != nil {
			t.Fatal(err)
		}
		b.stub.mu.Lock()
		if p := b.stub.minibus["late"].peer.Load(); p == old || !slices.Contains(p.info.Listeners, "late") {
			t.Error("it leads over what was replaced")
		}
		b.stub.mu.Unlock()
	}
}

// What is worn and cannot be replaced ends before it has sent too much.
func TestLastRecord(t *testing.T) {
	w := newWorld()
	limits := testLimits()
	limits.Records, limits.LastRecord, limits.Heartbeat = 40, 80, 20*time.Millisecond
	a, b := w.join(t, alice, limits), w.join(t, bob, testLimits())
	setUp(t, a, b)
	if _, last := a.await(t, status.Disconnected); last.Reason != "worn: it has sent as many DTLS records as one may" {
		t.Errorf("reason %q", last.Reason)
	}
	b.await(t, status.Disconnected)
}

// drained is a data channel whose buffer runs dry just before it is told what is low.
type drained struct {
	buffered, written int
	longest           int // bytes of a packet
}

func (d *drained) Write(p framing.Packet) error {
	d.written, d.longest = d.written+1, max(d.longest, len(p.Data))
	return nil
}
func (d *drained) Buffered() int     { return d.buffered }
func (d *drained) SetLow(int)        { d.buffered = 0 }
func (d *drained) OnLow(int, func()) {}
func (d *drained) MaxMessage() int   { return 1 << 16 }

// Nobody says that the buffer is low when it is so already.
func TestBufferIsLowBeforeItIsAskedFor(t *testing.T) {
	raw := &drained{buffered: 10 << 20}
	c, _ := newChannel(raw, framing.PeerBus, datasync.Connection{Sequels: true}, DefaultLimits(), newMetrics(prometheus.NewRegistry()), func() {})
	raw.buffered = 10 << 20
	c.pace.begin(time.Now().Add(-time.Minute), 0, 11<<20) // slow: less will be buffered
	if err := c.send(t.Context(), codec.Bare(text(1, "a", "b", "x"))); err != nil {
		t.Fatal(err)
	}
	if err := c.pump(); err != nil || raw.written != 1 {
		t.Errorf("%d packets are written: %v", raw.written, err)
	}
}

// Connections that replace each other, begun by either side, leave nothing behind.
// `-churn 200` takes half a minute.
func TestChurnOfReplacements(t *testing.T) {
	limits := testLimits()
	limits.Linger, limits.Heartbeat = 500*time.Millisecond, 50*time.Millisecond
	w := newWorld()
	a, b := w.join(t, alice, limits), w.join(t, bob, limits)
	leads := map[*runtime]string{}
	leads[a], leads[b] = setUp(t, a, b)
	replace := func(from, to *runtime, id string) {
		stub := from.replace(t, to, id)
		from.takesOver(t, stub, to, leads, id)
		to.takesOver(t, to.handler, from, leads, id)
		from.alone(t, stub)
		to.alone(t, to.handler)
	}
	replace(a, b, "first")
	replace(b, a, "second")
	before := measure()
	for i := range *churn / 3 { // three a turn
		replace(a, b, fmt.Sprint("a", i))
		replace(a, b, fmt.Sprint("c", i))
		replace(b, a, fmt.Sprint("b", i))
	}
	before.compare(t)
	for _, r := range []*runtime{a, b} {
		r.stub.mu.Lock()
		if len(r.stub.all) != 1 || len(r.stub.peers) != 1 || len(r.stub.heirs)+len(r.stub.newcomers) != 0 || len(r.stub.stubs) > 2 || len(r.stub.minibus) != 1 {
			t.Errorf("%s: %d peers, %d heirs, %d stubs, %d addresses", r.url, len(r.stub.all), len(r.stub.heirs), len(r.stub.stubs), len(r.stub.minibus))
		}
		r.stub.mu.Unlock()
	}
}

// takesOver does what a registry does when a connection has taken another's place.
func (r *runtime) takesOver(t *testing.T, stub string, other *runtime, leads map[*runtime]string, id string) {
	t.Helper()
	r.settled(t, stub+" has not taken over", func() bool {
		r.stub.mu.Lock()
		defer r.stub.mu.Unlock()
		p := r.stub.peers[other.url]
		return p != nil && p.url == stub && p.live()
	})
	before := leads[r]
	leads[r] = r.register(t, stub, other.url, id)
	m := &pb.Message{
		Id: `"u"`, Type: message.Unsubscribe, From: address.Registry(r.url), To: stub,
		Body: message.MarshalBody(map[string]any{"unsubscribe": []string{before}}),
	}
	if code := r.ask(t, m); code != fault.OK {
		t.Fatalf("unsubscribe of %s: %d", before, code)
	}
}

// What is to be told a little later goes along with a new state, and not before that state
// is written down: whoever hears of it acts at once.
func TestNobodyHearsOfAStateBeforeItIsShown(t *testing.T) {
	s := still()
	p := s.peerOf(handler, "h")
	s.peers[bob] = p
	w, err := s.watchers.add()
	if err != nil {
		t.Fatal(err)
	}
	s.watchers.noted[p] = true
	s.moved(p, status.Live, "")
	s.showNoted() // it is late
	if len(w.changes) > 0 {
		t.Errorf("%v was told", <-w.changes)
	}
	s.shown(p, status.Live)
	if len(w.changes) != 1 || (<-w.changes).State != pb.ConnectionState_CONNECTION_STATE_LIVE {
		t.Error("the state is not shown")
	}
}
