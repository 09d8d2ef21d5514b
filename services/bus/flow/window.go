package flow

import "time"

// window is how much of a kind may be under way. It grows with what is received,
// as long as it is made use of, shrinks when messages queue, and is halved by a
// loss.
type window struct {
	limits Limits
	size   int // bytes that may be under way
	used   int // bytes that are
	// limited: at least half of it was under way before the latest
	// acknowledgement.
	limited bool
	// reduced is the latest transmission when the window was last halved. A loss
	// of what was sent before says nothing new.
	reduced uint64
	rested  time.Duration // when something was last sent
	trips   trips
}

func newWindow(l Limits) window { return window{limits: l, size: l.First} }

// wake is called before something is sent. After a rest nothing is known of what the path
// takes.
func (w *window) wake(at time.Duration) {
	if w.used == 0 && at-w.rested > w.limits.MaxTimeout {
		w.size = min(w.size, w.limits.First)
	}
}

// sent puts bytes under way.
func (w *window) sent(at time.Duration, size int) {
	w.wake(at)
	w.used += size
	w.rested = at
}

// takes is how many of the first of a message fit.
func (w *window) takes(m *message) int {
	n := m.upTo(w.size - w.used)
	if n == 0 && w.used == 0 {
		return 1
	}
	return n
}

// look finds out whether the window is made use of.
func (w *window) look() { w.limited = w.used*2 >= w.size }

// received makes the window larger by what has been received: all of it on a path
// where nothing queues, the less the longer the queue is. Beyond Limits.Delay it
// makes it smaller likewise; at the most so that nothing new is sent.
func (w *window) received(size int, queue time.Duration) {
	share := max(1-float64(queue)/float64(w.limits.Delay), -1)
	if share > 0 && !w.limited {
		return
	}
	w.size = min(max(w.size+int(share*float64(size)), w.limits.Least), w.limits.UnderWay)
}

// lost halves the window, once for what was under way together.
func (w *window) lost(order, latest uint64) {
	if order <= w.reduced {
		return
	}
	w.reduced = latest
	w.size = max(w.size/2, w.limits.Least)
}

// silent begins anew: nothing has arrived of all that was under way.
func (w *window) silent(latest uint64) {
	w.reduced = latest
	w.size = w.limits.Least
}
