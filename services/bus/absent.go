package bus

import (
	"time"
)

// Listeners that are not there and may come: those that were cut off, and those that
// an earlier bus had.

// await keeps what a listener that was cut off has not dealt with, and what comes
// for it, in the line of its address: it may come back within Limits.ReturnTime.
func (t *table) await(pl *place, in *inbox) []verdict {
	t.awaitUntil(pl, time.Now().Add(t.limits.ReturnTime), false)
	var verdicts []verdict
	for _, p := range in.leaveAll() {
		if p.dropped() { // the replica that it came from keeps it
			continue
		}
		if p.m.To != pl.address { // it came by a route: whoever posted it there sees to it
			verdicts = in.lose(verdicts, p, true)
			continue
		}
		if done, err := t.wait(p); done {
			verdicts = append(verdicts, verdict{post: p, err: err})
		}
	}
	return verdicts
}

func (t *table) awaitUntil(pl *place, until time.Time, unheard bool) {
	pl.absent, pl.unheard = until, unheard
	time.AfterFunc(time.Until(until), func() { t.giveUp(pl.address, until) })
}

// young tells whether this bus was started a moment ago, or another replica was lost
// then: listeners that were there may not be back yet.
func (t *table) young() bool { return time.Until(t.settledAt()) > 0 }

// settledAt is when those listeners should be back.
func (t *table) settledAt() time.Time { return t.began.Load().Add(t.limits.ReturnTime) }

// dueAt is until when a line waits for a listener of which nothing is known: while such
// come, if nothing in it was promised to anybody, and for LongWaitTime however often
// listeners are lost.
func (t *table) dueAt(ln *line) time.Time {
	from := *t.began.Load()
	due := from.Add(t.limits.ReturnTime)
	if t.came.After(from) {
		from = t.came
	}
	if !ln.promised {
		due = earlier(due, from.Add(t.limits.QuietTime))
	}
	return earlier(due, ln.opened.Add(t.limits.LongWaitTime))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// shaken notes that listeners have been lost, and may come back.
func (t *table) shaken() {
	now := time.Now()
	t.began.Store(&now)
}

// expect keeps a post for a listener that may come back to a young bus.
func (t *table) expect(p *post) (done bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if pl := t.places[p.m.To]; pl != nil && len(pl.takers) > 0 && pl.line == nil {
		return offer(p, pl.takers)
	}
	pl := t.place(p.m.To)
	until, fresh := t.settledAt(), pl.absent.IsZero()
	if fresh {
		pl.absent = until
	}
	done, err = t.wait(p)
	switch {
	case !fresh:
	case pl.line == nil: // too many wait
		pl.absent = time.Time{}
		t.tidy(pl)
	default:
		t.awaitUntil(pl, until, true)
	}
	return done, err
}

// awaitOurs has a line wait until a young bus has its listeners back. What the registry says
// later, and knows better, ends that (heed). What comes from outside and was not promised is
// refused: strangers are not to take the room.
func (t *table) awaitOurs(pl *place) (verdicts []verdict) {
	strange := func(p *post) bool { return p.ingress != nil && !p.promised() }
	for _, p := range t.lobby.leaveIf(pl.line, pl.line.posts.len(), strange) {
		verdicts = append(verdicts, verdict{post: p, err: nobodyListens(pl.address)})
	}
	if pl.line.posts.len() == 0 || !t.lobby.rest(pl.line) {
		return append(verdicts, t.fail(pl, nobodyListens(pl.address))...)
	}
	if !pl.awaited() {
		t.awaitUntil(pl, t.dueAt(pl.line), true)
	}
	return verdicts
}

// heed ends the wait of a line for a listener that this bus never had. The line may wait
// for its route as long as one that begins.
func (t *table) heed(pl *place) {
	if pl == nil || pl.line == nil || !pl.line.ours {
		return
	}
	t.lobby.rouse(pl.line)
	pl.line.ours, pl.absent = false, time.Time{}
	pl.line.timer.Reset(t.limits.WaitTime)
}

// hopeless tells whether a post waits for a listener of which nothing is known.
func (t *table) hopeless(p *post) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	pl := t.places[p.m.To]
	return pl != nil && pl.line != nil && pl.line.ours && !p.taken.Load()
}

// giveUp ends the wait for a listener, unless it came back or another wait began. For one that
// was never there it goes on while others come, and when the bus is young again.
func (t *table) giveUp(address string, until time.Time) {
	t.mu.Lock()
	pl := t.places[address]
	if pl == nil || !pl.absent.Equal(until) {
		t.mu.Unlock()
		return
	}
	if pl.unheard && pl.line != nil {
		if due := t.dueAt(pl.line); time.Until(due) > 0 {
			t.awaitUntil(pl, due, true)
			t.mu.Unlock()
			return
		}
	}
	pl.absent = time.Time{}
	var verdicts []verdict
	if pl.line != nil && len(pl.takers) == 0 {
		verdicts = t.fail(pl, pl.noReturn())
	}
	t.tidy(pl)
	t.mu.Unlock()
	t.carryOut(verdicts)
}

// noReturn says why what waited for a listener is refused. A young bus may have waited
// for one that never was.
func (pl *place) noReturn() error {
	if pl.unheard {
		return nobodyListens(pl.address)
	}
	return refuse(reasonGone, 503, "the listener of %s was cut off, and did not come back", pl.address)
}

func nobodyListens(address string) error {
	return about("to", refuse(reasonNoListener, 404, "nobody listens to %s", address))
}
