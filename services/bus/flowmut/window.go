package flow

import "time"

// window is how much may be under way, and how long an answer may take.
type window struct {
	limits Limits
	size   int // bytes that may be under way
	used   int // bytes that are

	smoothed, variance time.Duration // of round trips (RFC 6298); 0: none yet
	// backoff counts time-outs in a row.
	backoff int
	// reduced is the latest transmission when the window was last made smaller.
	// A loss of what was sent before says nothing new.
	reduced uint64
}

func newWindow(l Limits) window { return window{limits: l, size: l.First} }

// fits says whether so much more may be under way.
func (w *window) fits(size int) bool { return w.used == 0 || w.used+size <= w.size }

// received makes the window larger by what has been received.
func (w *window) received(size int) {
	w.backoff = 0
	w.size = min(w.size+size, w.limits.UnderWay)
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
	w.backoff = min(w.backoff+1, 16)
}

// measured takes in the round trip of a message that was sent once (Karn).
func (w *window) measured(trip time.Duration) {
	trip = max(trip, 1)
	if w.smoothed == 0 {
		w.smoothed, w.variance = trip, trip/2
		return
	}
	w.variance += ((trip - w.smoothed).Abs() - w.variance) / 4
	w.smoothed += (trip - w.smoothed) / 8
}

// timeout is how long to wait for an acknowledgement of what is under way.
func (w *window) timeout() time.Duration {
	t := w.limits.FirstTimeout
	if w.smoothed > 0 {
		t = w.smoothed + 4*w.variance + w.limits.AckDelay
	}
	t = max(t, w.limits.MinTimeout) + time.Duration(float64(w.used)/float64(w.limits.Rate)*float64(time.Second))
	return w.doubled(t, w.backoff)
}

// doubled is a time after n doublings, up to the longest.
func (w *window) doubled(t time.Duration, n int) time.Duration {
	for ; n > 0 && t < w.limits.MaxTimeout; n-- {
		t *= 2
	}
	return min(t, w.limits.MaxTimeout)
}
