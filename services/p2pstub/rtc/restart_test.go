package rtc

import (
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
)

// restart begins ICE anew between two ends, and waits until both have a path.
func restart(t *testing.T, a, b *end) {
	t.Helper()
	a.forget()
	b.forget()
	negotiate(t, a, a.Restart, b.AnswerRestart)
	for _, x := range []*end{a, b} {
		x.await(t, Connected)
	}
}

// forget drops what has been reported of the path.
func (x *end) forget() {
	for len(x.states) > 0 {
		<-x.states
	}
}

func (x *end) await(t *testing.T, want State) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case s := <-x.states:
			if s == want {
				return
			}
		case <-late:
			t.Fatalf("it is not %v", want)
		}
	}
}

// The data channel goes on over an ICE restart, also from another address, and
// nothing is left of the generation before.
func TestRestart(t *testing.T) {
	var ips atomic.Value
	ips.Store([]netip.Addr{netip.MustParseAddr("127.0.0.2")})
	ea, err := Open(Config{Log: slog.New(slog.DiscardHandler), Interfaces: func() []netip.Addr { return ips.Load().([]netip.Addr) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ea.Close() }()
	eb := engine(t)
	a, b := newEnd(t, ea, true), newEnd(t, eb, false)
	ca, cb := connect(t, a, b)
	exchange(t, ca, cb, "first")
	for range 2 {
		restart(t, a, b)
		exchange(t, ca, cb, "again")
		exchange(t, cb, ca, "and back")
	}
	ips.Store([]netip.Addr{netip.MustParseAddr("127.0.0.3")})
	restart(t, a, b)
	exchange(t, ca, cb, "from elsewhere")
	if pair := a.Pair(); !strings.HasPrefix(pair, "host 127.0.0.3") {
		t.Errorf("pair %s", pair)
	}
	if n := len(ea.mux.byUfrag); n != 1 {
		t.Errorf("%d generations on the mux", n)
	}
	before := a.Records()
	exchange(t, ca, cb, "counted")
	if n := a.Records(); n <= before || before < 5 {
		t.Errorf("%d records, then %d", before, n)
	}
	a.Close()
	b.Close()
}

// A restart offers the addresses that there are now, whatever was seen a moment ago.
func TestRestartLooksForAddresses(t *testing.T) {
	open := func() *Engine {
		e, err := Open(Config{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		return e
	}
	ea, eb := open(), open()
	a, b := newEnd(t, ea, true), newEnd(t, eb, false)
	connect(t, a, b)
	const gone = "127.0.0.77"
	for _, e := range []*Engine{ea, eb} {
		e.looked.Store(&look{time.Now(), e.mux.v6(), []netip.Addr{netip.MustParseAddr(gone)}})
	}
	offer, err := a.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := b.AnswerRestart(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []datasync.Description{offer, answer} {
		if strings.Contains(d.SDP, gone) {
			t.Errorf("the %s has %s", d.Type, gone)
		}
	}
	a.Close()
	b.Close()
}

// When a generation has been given up, by pion or as its search has had its time, the next
// one still finds a path.
func TestRestartAfterLoss(t *testing.T) {
	for by, silence := range map[string]time.Duration{"pion": 1500 * time.Millisecond, "search": time.Minute} {
		t.Run(by, func(t *testing.T) { restartAfterLoss(t, silence) })
	}
}

func restartAfterLoss(t *testing.T, silence time.Duration) {
	open := func() *Engine {
		e, err := Open(Config{
			AdvertiseIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Patience: time.Second, Silence: silence, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		return e
	}
	a, b := newEnd(t, open(), true), newEnd(t, open(), false)
	ca, cb := connect(t, a, b)
	exchange(t, ca, cb, "first")
	a.forget()
	b.forget()
	offer, err := a.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	offer.SDP, _ = firstCandidates(offer.SDP, 0)
	answer, err := b.AnswerRestart(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	answer.SDP, _ = firstCandidates(answer.SDP, 0)
	if err := a.SetAnswer(answer); err != nil {
		t.Fatal(err)
	}
	a.await(t, Lost)
	b.await(t, Lost)
	restart(t, a, b)
	exchange(t, ca, cb, "back")
	a.Close()
	b.Close()
}

// Two connections live beside each other where one side has another socket for
// the second.
func TestSecondSocket(t *testing.T) {
	ea, eb := engine(t), engine(t)
	a, b := newEnd(t, ea, true), newEnd(t, eb, false)
	ca, cb := connect(t, a, b)
	a2, b2 := newEndOn(t, ea, Second, true), newEnd(t, eb, false)
	ca2, cb2 := connect(t, a2, b2)
	for range 3 {
		exchange(t, ca, cb, "first")
		exchange(t, cb2, ca2, "second")
		exchange(t, cb, ca, "first")
		exchange(t, ca2, cb2, "second")
	}
	if First.Other() != Second || Second.Other() != First {
		t.Error("the other socket is the same")
	}
	for _, x := range []*end{a, b, a2, b2} {
		x.Close()
	}
}

func newEndOn(t *testing.T, e *Engine, s Socket, requester bool) *end {
	t.Helper()
	x := &end{channel: make(chan *Channel, 1), states: make(chan State, 16)}
	p, err := e.NewPeerOn(s, requester, Events{
		Candidate: func(datasync.Candidate) {},
		State:     func(s State, _ string) { x.states <- s },
		Channel:   func(c *Channel) { x.channel <- c },
	})
	if err != nil {
		t.Fatal(err)
	}
	x.Peer = p
	return x
}

func TestHeartbeatChannel(t *testing.T) {
	beats := map[bool]chan *Channel{true: make(chan *Channel, 1), false: make(chan *Channel, 1)}
	var ends []*end
	for _, requester := range []bool{true, false} {
		x := &end{channel: make(chan *Channel, 1)}
		p, err := engine(t).NewPeer(requester, Events{
			Candidate: func(datasync.Candidate) {}, State: func(State, string) {},
			Channel: func(c *Channel) { x.channel <- c }, Heartbeat: func(c *Channel) { beats[requester] <- c },
		})
		if err != nil {
			t.Fatal(err)
		}
		x.Peer = p
		defer p.Close()
		ends = append(ends, x)
	}
	connect(t, ends[0], ends[1])
	if err := ends[0].OpenHeartbeat(); err != nil {
		t.Fatal(err)
	}
	// The handler's first: it has the channel open when it sees it.
	from, to := <-beats[false], <-beats[true]
	if err := from.Write(framing.Packet{Data: []byte("beat")}); err != nil {
		t.Fatal(err)
	}
	if p, err := to.NewReader(16).Read(); err != nil || string(p.Data) != "beat" || p.Text {
		t.Errorf("%v, %v", p, err)
	}
}
