package bus

import (
	"sync"
	"sync/atomic"
	"time"
)

// confirm calls f when the other replicas know all that has changed here up to now, or
// after Limits.JoinTime: what a client is told that it has, it has everywhere.
func (m *mesh) confirm(f func()) {
	if m == nil || len(*m.links.Load()) == 0 {
		f()
		return
	}
	c := newConfirmation(f, m.bus.limits.JoinTime)
	for _, l := range *m.links.Load() {
		l.confirm(c)
	}
	c.done()
}

// confirmation is what is done when several links have confirmed something.
type confirmation struct {
	left  atomic.Int32
	once  sync.Once
	f     func()
	timer *time.Timer
}

func newConfirmation(f func(), patience time.Duration) *confirmation {
	c := &confirmation{f: f}
	c.left.Store(1)
	c.timer = time.AfterFunc(patience, c.end)
	return c
}

func (c *confirmation) done() {
	if c.left.Add(-1) == 0 {
		c.timer.Stop()
		c.end()
	}
}

func (c *confirmation) end() { c.once.Do(c.f) }
