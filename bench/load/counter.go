package load

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/peerbus/peerbus/bench/internal/proc"
	"github.com/peerbus/peerbus/internal/fault"
)

// Counter counts what arrives. Arrived may be called by several goroutines, Await by
// one.
type Counter struct {
	number  atomic.Uint64
	wanted  atomic.Uint64
	reached chan time.Duration
}

// NewCounter counts from zero.
func NewCounter() *Counter { return &Counter{reached: make(chan time.Duration, 1)} }

// Arrived counts one.
func (c *Counter) Arrived() {
	if c.number.Add(1) == c.wanted.Load() {
		select {
		case c.reached <- proc.Now():
		default:
		}
	}
}

// Await waits until so many have arrived since the beginning, and says when that was.
// More of them is an error: something came twice.
func (c *Counter) Await(ctx context.Context, total uint64) (time.Duration, error) {
	select {
	case <-c.reached: // of the one before
	default:
	}
	c.wanted.Store(total)
	if n := c.number.Load(); n > total {
		return 0, fault.New(fault.Internal, "%d messages have arrived, and %d were sent", n, total)
	} else if n == total {
		return proc.Now(), nil
	}
	select {
	case at := <-c.reached:
		return at, nil
	case <-ctx.Done():
		return 0, fault.New(fault.Timeout, "%d of %d messages have arrived", c.number.Load(), total)
	}
}
