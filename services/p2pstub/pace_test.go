package p2pstub

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
)

// drain lets a path of a rate take what is buffered, as a loop that writes whenever
// there is room; offered is what there is to write in each millisecond.
func drain(p *pace, rate, offered int, d time.Duration) (buffered int) {
	now, written := time.Unix(0, 0), uint64(0)
	if !p.began.IsZero() {
		now, written, buffered = p.began, p.written, p.buffered
	}
	for end := now.Add(d); now.Before(end); now = now.Add(time.Millisecond) {
		buffered = max(0, buffered-rate/1000)
		p.look(now, written, buffered)
		if room := p.high - buffered; room > 0 {
			n := min(room, offered)
			buffered += n
			written += uint64(n) // positive
		}
	}
	return buffered
}

func TestPaceOfASlowPath(t *testing.T) {
	p := newPace(32<<10, 1<<20)
	if got := drain(&p, 200_000, 1<<20, 10*time.Second); got > 64<<10 {
		t.Errorf("%d bytes are buffered on a path of 200 kB/s", got)
	}
	if p.high < 32<<10 {
		t.Errorf("high is %d", p.high)
	}
	drain(&p, 40_000_000, 1<<20, 10*time.Second)
	if p.high != 1<<20 {
		t.Errorf("on a fast path high is %d", p.high)
	}
}

// A sender that has little to say keeps the buffer for when it has more.
func TestPaceOfAQuietSender(t *testing.T) {
	p := newPace(32<<10, 1<<20)
	drain(&p, 40_000_000, 10, 5*time.Second)
	if p.high != 1<<20 {
		t.Errorf("high is %d", p.high)
	}
	if p.fast() {
		t.Errorf("a path of which only %.0f bytes a second are known is fast", p.rate)
	}
}

// On a path that turns out to be fast, to a peer that takes them, packets become long.
func TestPacketsOfAFastPath(t *testing.T) {
	for _, takes := range []int{0, framing.LongPacket} {
		raw := &drained{}
		c, _ := newChannel(raw, framing.PeerBus, datasync.Connection{Sequels: true, Packet: takes}, DefaultLimits(), newMetrics(prometheus.NewRegistry()), func() {})
		body := strings.Repeat("x", 1000)
		pump := func() (longest int) {
			for i := range 100 {
				if err := c.send(t.Context(), codec.Bare(text(i, "a", "b", body))); err != nil {
					t.Fatal(err)
				}
			}
			raw.longest = 0
			if err := c.pump(); err != nil {
				t.Fatal(err)
			}
			return raw.longest
		}
		if n := pump(); n > 14*1200 {
			t.Errorf("a packet has %d bytes, before it is known how fast the path is", n)
		}
		c.written, c.consumed = c.written+100<<20, c.consumed+100<<20
		c.pace.begin(time.Now().Add(-time.Second), 0, 0) // it took all that there was
		if n := pump(); n > 14*1200 != (takes > 0) {
			t.Errorf("a packet has %d bytes, for a peer that takes %d", n, takes)
		}
	}
}
