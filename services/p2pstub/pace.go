package p2pstub

import "time"

// pace says how much may be buffered in a data channel: what it lets through in a
// moment. On a slow path a full buffer would be seconds long, and everything that
// comes behind it as late. It is pure: the times come with the calls.
type pace struct {
	lowest, highest int // bytes
	high            int
	began           time.Time // of the measurement under way; zero: none
	written         uint64    // bytes, when it began
	buffered        int       // likewise
	empty           bool      // the buffer ran dry since then
	rate            float64   // bytes a second, smoothed
}

// What is buffered lasts about a moment; a measurement takes at least a part of
// one.
const (
	moment  = 250 * time.Millisecond
	sampled = 50 * time.Millisecond
)

func newPace(lowest, highest int) pace {
	return pace{lowest: lowest, highest: highest, high: min(4*lowest, highest)}
}

// low is when writing goes on after a full buffer.
func (p *pace) low() int { return p.high / 4 }

// fast tells whether the path is known to have a long packet out in a thirtieth of a second:
// what comes behind it, heartbeats among it, does not wait long.
func (p *pace) fast() bool { return p.rate >= fastRate }

const fastRate = 1 << 20 // bytes a second

// look takes in how many bytes have been written in all and how many of them are
// buffered; it tells whether high has changed.
func (p *pace) look(now time.Time, written uint64, buffered int) (changed bool) {
	p.empty = p.empty || buffered == 0
	if p.began.IsZero() {
		p.begin(now, written, buffered)
		return false
	}
	took := now.Sub(p.began)
	if took < sampled {
		return false
	}
	drained := float64(p.buffered) + float64(written-p.written) - float64(buffered)
	before := p.high
	if p.empty { // the path takes all that there is
		p.high = min(2*p.high, p.highest)
		p.rate = max(p.rate, drained/took.Seconds())
	} else {
		p.rate += (drained/took.Seconds() - p.rate) / 4
		p.high = min(max(int(p.rate*moment.Seconds()), p.lowest), p.highest)
	}
	p.begin(now, written, buffered)
	return p.high != before
}

func (p *pace) begin(now time.Time, written uint64, buffered int) {
	p.began, p.written, p.buffered, p.empty = now, written, buffered, buffered == 0
}
