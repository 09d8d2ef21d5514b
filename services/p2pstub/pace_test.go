package p2pstub

import (
	"testing"
	"time"
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
			written += uint64(n) //nolint:gosec // positive
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
}
