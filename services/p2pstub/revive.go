package p2pstub

import (
	"context"
	"time"

	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/message"
)

// What a peer's loop does about restarts of ICE, and about its end once another
// connection has taken over.

// clock is the timer of a loop. It runs while a path is sought, and once the peer
// has been succeeded.
type clock struct {
	every  time.Duration
	since  time.Time // it runs
	ticker *time.Ticker
}

// repeatEvery is how often the last word about a restart is said again: updates
// may be lost where a Message Node or a bus is restarted at the same time.
const repeatEvery = time.Second

// set starts or stops the clock, as the machine needs it.
func (c *clock) set(m machine) {
	var every time.Duration
	switch {
	case m.retired:
		every = lingering
	case m.restarting():
		every = repeatEvery
	}
	if every == c.every {
		return
	}
	c.stop()
	if c.every, c.since = every, time.Now(); every > 0 {
		c.ticker = time.NewTicker(every)
	}
}

func (c *clock) stop() {
	if c.ticker != nil {
		c.ticker.Stop()
		c.ticker = nil
	}
}

func (c *clock) tick() <-chan time.Time {
	if c.ticker == nil {
		return nil
	}
	return c.ticker.C
}

func (p *peer) tick() {
	since := time.Since(p.clock.since)
	switch {
	case p.m.retired:
		if p.canEnd(since) {
			p.reason = "another connection has taken its place"
			p.step(event{kind: closed})
		}
	case since >= p.stub.limits.Restart:
		p.clock.since = time.Now()
		p.step(event{kind: restartOver})
	default:
		p.repeat()
	}
}

// regenerate begins ICE anew, or answers the other side that has. What was known of
// its candidates belongs to the generation before.
func (p *peer) regenerate(kind effectKind) {
	ctx, cancel := context.WithTimeout(p.ctx, p.stub.limits.Request)
	defer cancel()
	p.tried, p.regenerated = nil, time.Now()
	var d datasync.Description
	var err error
	if kind == restart {
		d, err = p.rtc.Restart(ctx)
	} else {
		d, err = p.rtc.AnswerRestart(ctx, *p.theirs().Description)
	}
	if err != nil {
		p.must("restart of ICE", err)
		return
	}
	d.Generation = p.m.ice.generation
	p.log.Debug("ICE restarted", "generation", d.Generation, "type", d.Type)
	p.stub.metrics.restarts.WithLabelValues(p.role.String()).Inc()
	p.stub.change(p, func() { p.info.Generation = d.Generation })
	p.sayOfRestart(datasync.DescriptionAttribute, d)
}

// hasty tells whether ICE was begun anew so lately that the other side must wait for
// the next time, and say again that it wants one: a flood of wishes is not followed.
// A handler is less strict, as the requester that it follows waits already.
func (p *peer) hasty() bool {
	least := repeatEvery
	if p.role == handler {
		least /= 2
	}
	return time.Since(p.regenerated) < least
}

func (p *peer) askForRestart() { p.sayOfRestart(datasync.RestartAttribute, p.m.ice.generation+1) }

func (p *peer) sayOfRestart(attribute string, value any) {
	m, err := p.reporter.Set(attribute, value, p.stub.now())
	p.sendUpdate(m, err)
	p.said = m
}

// repeat says the last word about a restart again. An observer takes it once.
func (p *peer) repeat() {
	if p.said != nil {
		p.sendUpdate(message.Share(p.said), nil)
	}
}

// sayAgain is when the other side has repeated itself: it has not heard the answer.
// Only a handler answers, else there would be no end.
func (p *peer) sayAgain() {
	if p.role == handler {
		p.repeat()
	}
}
