// Package retry says how long to wait before trying again.
package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/peerbus/peerbus/internal/run"
)

// Backoff grows from Min to Max by doubling, with jitter of up to a half, so
// that many clients of one server do not come back at the same moment. The
// zero value waits from 50 ms to 1 s. It is for one goroutine.
type Backoff struct {
	Min, Max time.Duration
	// Draw gives a time from 0 up to below its argument; nil is at random.
	Draw func(below time.Duration) time.Duration
	next time.Duration
}

// Default bounds of a Backoff: short enough that a restarted service is found
// at once, long enough that a dead one costs nothing.
const (
	DefaultMin = 50 * time.Millisecond
	DefaultMax = time.Second
)

// Reset starts again at Min, after something has worked.
func (b *Backoff) Reset() { b.next = 0 }

// Next gives the time to wait, and doubles the one after it.
func (b *Backoff) Next() time.Duration {
	lo, hi := b.Min, b.Max
	if lo <= 0 {
		lo = DefaultMin
	}
	if hi <= 0 {
		hi = DefaultMax
	}
	if b.next < lo {
		b.next = lo
	}
	d := min(b.next, hi)
	b.next = min(2*d, hi)
	draw := b.Draw
	if draw == nil {
		draw = rand.N[time.Duration]
	}
	return d/2 + draw(d/2+1)
}

// Wait sleeps for Next, or until ctx is done; then it gives ctx's error.
func (b *Backoff) Wait(ctx context.Context) error {
	return run.Sleep(ctx, b.Next())
}
