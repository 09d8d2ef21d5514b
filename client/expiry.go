package client

import (
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// expiry ends the calls that have a time of their own. One timer looks after all of them
// now and then: to set one for each breaks the sleep of the thread that waits for the
// network.
type expiry struct {
	every time.Duration
	timer *time.Timer
	armed bool
}

// timedOut is the outcome of a call whose time is over.
var timedOut = &pb.Outcome{Code: int32(fault.Timeout)}

// arm has the timer fire. b.mu is held.
func (b *Bus) arm() {
	e := &b.expiry
	switch {
	case e.armed || b.over:
		return
	case e.timer == nil:
		e.timer = time.AfterFunc(e.every, b.expire)
	default:
		e.timer.Reset(e.every)
	}
	e.armed = true
}

func (b *Bus) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expiry.armed = false
	now := time.Now()
	for sequence, c := range b.calls {
		switch {
		case c.until.IsZero():
		case now.Before(c.until):
			b.arm()
		default:
			c.outcome <- timedOut
			delete(b.calls, sequence)
		}
	}
}

// stop is for the end. b.mu is held.
func (e *expiry) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
}
