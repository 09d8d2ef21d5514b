package rtc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func engine(t *testing.T) *Engine {
	t.Helper()
	e, err := Open(Config{AdvertiseIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// end is one peer with what it has reported.
type end struct {
	*Peer
	channel chan *Channel
	states  chan State
}

func newEnd(t *testing.T, e *Engine, requester bool) *end {
	t.Helper()
	x := &end{channel: make(chan *Channel, 1), states: make(chan State, 16)}
	p, err := e.NewPeer(requester, Events{
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

func (x *end) opened(t *testing.T) *Channel {
	t.Helper()
	select {
	case c := <-x.channel:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("the channel does not open")
		return nil
	}
}

// connect sets a connection up and gives both channels.
func connect(t *testing.T, a, b *end) (*Channel, *Channel) {
	t.Helper()
	negotiate(t, a, a.Offer, b.Answer)
	return a.opened(t), b.opened(t)
}

// negotiate gives an end the other's answer to its offer.
func negotiate(
	t *testing.T, a *end, offer func(context.Context) (datasync.Description, error),
	answer func(context.Context, datasync.Description) (datasync.Description, error),
) {
	t.Helper()
	offered, err := offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answered, err := answer(t.Context(), offered)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SetAnswer(answered); err != nil {
		t.Fatal(err)
	}
}

func exchange(t *testing.T, from, to *Channel, text string) {
	t.Helper()
	if err := from.Write(framing.Packet{Text: true, Data: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	p, err := to.NewReader(64 << 10).Read()
	if err != nil || !p.Text || string(p.Data) != text {
		t.Fatalf("%v, %v", p, err)
	}
}

func TestConnection(t *testing.T) {
	a, b := newEnd(t, engine(t), true), newEnd(t, engine(t), false)
	ca, cb := connect(t, a, b)
	exchange(t, ca, cb, "there")
	exchange(t, cb, ca, "and back")
	if a.Pair() == "" || a.Description().Type != "offer" || b.Description().Type != "answer" {
		t.Errorf("pair %q, %s, %s", a.Pair(), a.Description().Type, b.Description().Type)
	}
	if ca.MaxMessage() != 64<<10 {
		t.Errorf("%d", ca.MaxMessage())
	}
	if err := ca.Write(framing.Packet{Data: bytes.Repeat([]byte("x"), 1000)}); err != nil {
		t.Fatal(err)
	}
	if _, err := cb.NewReader(10).Read(); !errors.Is(err, ErrTooLong) {
		t.Errorf("%v", err)
	}
	exchange(t, ca, cb, "goes on")
	over := make(chan error, 1)
	go func() {
		_, err := cb.NewReader(10).Read()
		over <- err
	}()
	a.Close()
	if err := <-over; !errors.Is(err, io.EOF) {
		t.Errorf("after the other side closed: %v", err)
	}
	b.Close()
	b.Close()
}

// A new connection between the same two sockets takes the place of the one
// that is there, although nothing of the old one was closed.
func TestReplacementBetweenTheSameSockets(t *testing.T) {
	ea, eb := engine(t), engine(t)
	var old []*end
	for i := range 3 {
		a, b := newEnd(t, ea, i%2 == 0), newEnd(t, eb, i%2 != 0)
		old = append(old, a, b)
		if i%2 != 0 {
			a, b = b, a
		}
		ca, cb := connect(t, a, b)
		exchange(t, ca, cb, "there")
		exchange(t, cb, ca, "and back")
	}
	for _, x := range old {
		x.Close()
	}
	for _, e := range []*Engine{ea, eb} {
		if m := e.mux; len(m.byUfrag)+len(m.byRemote)+len(m.checks)+len(m.older) != 0 {
			t.Errorf("left on the mux: %d connections, %d remotes, %d checks", len(m.byUfrag), len(m.byRemote), len(m.checks))
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	ea := engine(t)
	done := make(chan struct{})
	const n = 10
	for range n {
		go func() {
			defer func() { done <- struct{}{} }()
			a, b := newEnd(t, ea, true), newEnd(t, engine(t), false)
			ca, cb := connect(t, a, b)
			exchange(t, ca, cb, "there")
			a.Close()
			b.Close()
		}()
	}
	for range n {
		<-done
	}
}

func TestBadDescriptions(t *testing.T) {
	e := engine(t)
	for _, d := range []datasync.Description{{}, {Type: "offer"}, {Type: "answer", SDP: "v=0"}, {Type: "offer", SDP: "nonsense"}} {
		p := newEnd(t, e, false)
		if _, err := p.Answer(t.Context(), d); err == nil {
			t.Errorf("%+v was answered", d)
		}
		p.Close()
	}
	a := newEnd(t, e, true)
	if err := a.SetAnswer(datasync.Description{Type: "answer", SDP: "v=0"}); err == nil {
		t.Error("an answer before the offer")
	}
	if err := a.AddCandidate(datasync.Candidate{Candidate: "nonsense"}); err == nil {
		t.Error("a candidate that is none")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Offer(ctx); err != nil && err.Error() != "cancelled" {
		t.Errorf("%v", err)
	}
	a.Close()
}

func TestMaxMessageIn(t *testing.T) {
	for sdp, want := range map[string]int{
		"v=0":                                65536,
		"v=0\r\na=max-message-size:1000\r\n": 1000,
		"v=0\r\na=max-message-size:0\r\n":    65536,
		"v=0\r\na=max-message-size:262144":   65536,
		"v=0\r\na=max-message-size:x\r\n":    65536,
	} {
		if got := maxMessageIn(sdp); got != want {
			t.Errorf("%q: %d, want %d", sdp, got, want)
		}
	}
}

func FuzzSTUN(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x08\x21\x12\xa4\x42abcdefghijkl\x00\x06\x00\x03a:b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if isSTUN(b) && isRequest(b) {
			_, _ = usernameOf(b)
			_ = transactionOf(b)
		}
	})
}

func TestUsername(t *testing.T) {
	name, ok := usernameOf([]byte("\x00\x01\x00\x10\x21\x12\xa4\x42abcdefghijkl\x80\x22\x00\x01x\x00\x00\x00\x00\x06\x00\x03a:b\x00"))
	if name != "a" || !ok {
		t.Errorf("%q %v", name, ok)
	}
}
