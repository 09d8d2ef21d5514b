package bus

import (
	"time"
)

// wait puts a post into the line of its address.
func (t *table) wait(p *post) (done bool, err error) {
	pl := t.place(p.m.To)
	if pl.line == nil {
		if pl.line, err = t.lobby.open(func() { t.expire(p.m.To) }); err != nil {
			pl.line = nil
			t.tidy(pl)
			return true, err
		}
		t.waiting[pl] = struct{}{}
		t.seek(pl, p)
	}
	if err := t.lobby.join(pl.line, p); err != nil {
		return true, err
	}
	return false, nil
}

// seek makes a line wait for the listener of its route or, without a route,
// for the registry. One that waits for a listener to come back waits for that.
func (t *table) seek(pl *place, p *post) {
	if pl.awaited() {
		return
	}
	if r := t.routes.get(pl.address); r != nil {
		told := t.routes.destination(r).told
		next := t.place(told.Next)
		if next.parked == nil {
			next.parked = map[*place]struct{}{}
		}
		next.parked[pl] = struct{}{}
		pl.line.next = told.Next
		return
	}
	if pl.line.question == 0 {
		pl.line.question = t.ask.route(p.m)
	}
}

// seekAgain asks again for the route of a line.
func (t *table) seekAgain(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if pl := t.places[address]; pl != nil && pl.line != nil && pl.line.posts.len() > 0 && pl.line.next == "" {
		t.seek(pl, pl.line.posts.first().post)
	}
}

func (t *table) unpark(pl *place) {
	if next := t.places[pl.line.next]; next != nil {
		delete(next.parked, pl)
		t.tidy(next)
	}
	pl.line.next = ""
}

// retry lets a line go if there is a way by now, and else makes it wait for
// what is missing now.
func (t *table) retry(pl *place) []verdict {
	if pl.line == nil {
		return nil
	}
	if pl.line.posts.len() == 0 {
		return t.release(pl, nil)
	}
	first := pl.line.posts.first().post
	w, ok := way{takers: pl.takers}, len(pl.takers) > 0
	if !ok && !pl.awaited() {
		w, ok = t.routed(first)
	}
	if !ok {
		t.unpark(pl)
		t.seek(pl, first)
		return nil
	}
	if w.flow != nil {
		t.flows.wake(w.flow)
	}
	return t.release(pl, func(p *post) (bool, error) { return t.send(w, p) })
}

// release ends a line: each that stood in it goes where forward takes it.
func (t *table) release(pl *place, forward func(*post) (bool, error)) []verdict {
	t.unpark(pl)
	t.ask.forget(pl.line.question)
	if pl.line.ours {
		pl.absent = time.Time{} // for whatever comes the registry is asked again
	}
	posts := t.lobby.close(pl.line)
	pl.line = nil
	delete(t.waiting, pl)
	t.tidy(pl)
	var verdicts []verdict
	for _, p := range posts {
		if done, err := forward(p); done {
			verdicts = append(verdicts, verdict{post: p, err: err})
		}
	}
	return verdicts
}

// fail ends a line, and refuses all that stood in it.
func (t *table) fail(pl *place, why error) []verdict {
	return t.release(pl, func(*post) (bool, error) { return true, why })
}

// end refuses all that waits.
func (t *table) end(why error) []verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	var verdicts []verdict
	for pl := range t.waiting {
		verdicts = append(verdicts, t.fail(pl, why)...)
	}
	return verdicts
}

// expire runs when the first of a line may have waited long enough.
func (t *table) expire(address string) {
	t.mu.Lock()
	pl := t.places[address]
	if pl == nil || pl.line == nil {
		t.mu.Unlock()
		return
	}
	if pl.awaited() { // giveUp ends that
		t.mu.Unlock()
		return
	}
	why := refuse(reasonWaitTime, 503, "the registry did not say in time where %s is", address)
	if pl.line.next != "" {
		why = refuse(reasonWaitTime, 503, "%s, on the route to %s, is not there", pl.line.next, address)
	}
	var verdicts []verdict
	for _, p := range t.lobby.expired(pl.line, time.Now()) {
		verdicts = append(verdicts, verdict{post: p, err: why})
	}
	if pl.line.posts.len() == 0 {
		t.release(pl, nil)
	}
	t.mu.Unlock()
	t.carryOut(verdicts)
}
