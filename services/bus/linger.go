package bus

import (
	"slices"
	"time"
)

// An alias whose owner is to come back, as it attaches to another replica, stays in place
// without one, so that what goes over it need not wait or be refused. With the owner back
// it is the owner's again:
//
//	registry ── alias ──▶ stub        its replica stops, or is killed
//	            alias ──▶ stub        lingers, Limits.ReturnTime at most
//	registry ── alias ──▶ stub        put in place again, at whichever replica
//
// There are no more of them than Limits.Listeners. All is guarded by the table's mutex.

// linger keeps an alias that its owner has lost; false when that does not come back.
func (t *table) linger(s *stream, key added, returning bool) bool {
	_, is := t.lingering[key]
	if t.mesh == nil || !returning || is || len(t.lingering) >= t.limits.Listeners {
		return false
	}
	pl, until := t.places[key.address], time.Now().Add(t.limits.ReturnTime)
	if n := pl.owners(key.leadsTo); n > 1 { // it stays in place by others
		return false
	}
	pl.aliases[slices.Index(pl.aliases, alias{s, key.leadsTo})].owner = nil
	t.lingering[key] = until
	time.AfterFunc(time.Until(until), func() { t.outlived(key, until) })
	return true
}

// owners counts those who have an alias to a target at a place.
func (pl *place) owners(target string) (n int) {
	for _, a := range pl.aliases {
		if a.target == target {
			n++
		}
	}
	return n
}

// owned notes that an alias has an owner again. It is called once that is in place.
func (t *table) owned(key added) {
	if _, is := t.lingering[key]; is {
		delete(t.lingering, key)
		t.unlead(t.places[key.address], alias{nil, key.leadsTo})
	}
}

// outlived takes an alias away whose owner has not come back in time.
func (t *table) outlived(key added, until time.Time) {
	t.mu.Lock()
	var verdicts []verdict
	if at, is := t.lingering[key]; is && at.Equal(until) {
		delete(t.lingering, key)
		pl := t.places[key.address]
		t.unlead(pl, alias{nil, key.leadsTo})
		verdicts = t.refresh(pl)
		t.tidy(t.place(key.leadsTo))
	}
	t.mu.Unlock()
	t.carryOut(verdicts)
}

// unlead takes an alias out of its place. What follows is refresh's.
func (t *table) unlead(pl *place, a alias) {
	i := slices.Index(pl.aliases, a)
	pl.aliases = slices.Delete(pl.aliases, i, i+1)
	target := t.places[a.target]
	if target.leading[pl.address]--; target.leading[pl.address] == 0 {
		delete(target.leading, pl.address)
	}
}
