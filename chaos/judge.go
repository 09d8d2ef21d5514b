package main

import (
	"regexp"
	"slices"
	"sync"
	"time"
)

// judge keeps what became of every message. A message is
//
//	lost       when its poster was told that it is accepted, and nobody was
//	           handed it
//	doubled    each time that it is handed over again
//	reordered  when it is handed over, for the first time, after a later one of
//	           its poster
//	damaged    when it is not what was posted
//
// A refused message is none of these, whether it came or not. All methods may be
// called by several goroutines.
type judge struct {
	mu         sync.Mutex
	pairs      []*record
	directions [2]direction
	doubled    []incident
	reordered  []incident
	damaged    int
	refused    map[string]int // by what the poster was told
}

// record is what is known of the messages of one poster. Numbers begin at 1.
type record struct {
	direction int // 0: from alice to bob
	fates     []fate
	highest   int // number handed over so far
}

// fate of one message.
type fate struct {
	posted   time.Time
	accepted bool
	handed   bool
}

// direction is the traffic one way.
type direction struct {
	accepted, handed int
	missing          int            // accepted and not handed over, so far
	over             map[string]int // hand-overs by path
	lastOver         map[string]time.Time
	last             time.Time // hand-over
	pauses           []span    // longer than shortestGap
}

// incident is one message that did not go as it should.
type incident struct {
	Direction int
	Pair      int
	Number    int
	At        time.Time // posted, if lost; else handed over
}

// span is a piece of time.
type span struct{ from, to time.Time }

func (s span) length() time.Duration { return s.to.Sub(s.from) }

func (s span) overlaps(o span) bool { return s.from.Before(o.to) && o.from.Before(s.to) }

// shortestGap is what counts as a pause: less is how steady traffic looks.
const shortestGap = 50 * time.Millisecond

// newJudge makes a judge for pairs of a poster and a listener; each is of a
// direction.
func newJudge(directions []int) *judge {
	j := &judge{refused: map[string]int{}}
	for _, d := range directions {
		j.pairs = append(j.pairs, &record{direction: d})
	}
	for i := range j.directions {
		j.directions[i].over, j.directions[i].lastOver = map[string]int{}, map[string]time.Time{}
	}
	return j
}

// posted gives the next message of a pair its number, before it is posted.
func (j *judge) posted(pair int, at time.Time) (number int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.pairs[pair]
	r.fates = append(r.fates, fate{posted: at})
	return len(r.fates)
}

// told says what the poster was told: nil for accepted.
func (j *judge) told(pair, number int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.refused[withoutAddresses(err)]++
		return
	}
	r := j.pairs[pair]
	f, d := &r.fates[number-1], &j.directions[r.direction]
	f.accepted = true
	d.accepted++
	if !f.handed {
		d.missing++
	}
}

// addresses are what tells refusals of one kind apart in their text.
var addresses = regexp.MustCompile(`[a-z0-9-]+://\S+`)

func withoutAddresses(err error) string { return addresses.ReplaceAllString(err.Error(), "…") }

// takenBack says that a message was refused after it had been accepted. If it is
// not there, it is lost all the same.
func (j *judge) takenBack(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refused["after it was accepted: "+withoutAddresses(err)]++
}

// handed says that the listener of a pair was handed a message.
func (j *judge) handed(pair, number int, path string, at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.pairs[pair]
	if number < 1 || number > len(r.fates) {
		j.damaged++
		return
	}
	d := &j.directions[r.direction]
	d.note(path, at)
	f, what := &r.fates[number-1], incident{r.direction, pair, number, at}
	switch {
	case f.handed:
		j.doubled = append(j.doubled, what)
	case number < r.highest:
		j.reordered = append(j.reordered, what)
	}
	if !f.handed {
		d.handed++
		if f.accepted {
			d.missing--
		}
	}
	f.handed = true
	r.highest = max(r.highest, number)
}

func (d *direction) note(path string, at time.Time) {
	if !d.last.IsZero() && at.Sub(d.last) > shortestGap {
		d.pauses = append(d.pauses, span{d.last, at})
	}
	d.over[path]++
	d.last, d.lastOver[path] = at, at
}

// broken says that something was handed over that was never posted so.
func (j *judge) broken() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.damaged++
}

// stopped says that nothing more is posted: what was not handed over until now
// is a pause too.
func (j *judge) stopped(at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.directions {
		if d := &j.directions[i]; !d.last.IsZero() && at.Sub(d.last) > shortestGap {
			d.pauses = append(d.pauses, span{d.last, at})
		}
	}
}

// lost lists the messages that were accepted and are not there, in the order in
// which they were posted.
func (j *judge) lost() []incident {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []incident
	for pair, r := range j.pairs {
		for i, f := range r.fates {
			if f.accepted && !f.handed {
				out = append(out, incident{r.direction, pair, i + 1, f.posted})
			}
		}
	}
	slices.SortFunc(out, func(a, b incident) int { return a.At.Compare(b.At) })
	return out
}

// missing is how many were accepted and are not there.
func (j *judge) missing() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	missing := 0
	for i := range j.directions {
		missing += j.directions[i].missing
	}
	return missing
}

// steadily tells whether every direction has gone over a path alone for a time.
func (j *judge) steadily(path string, now time.Time, hold time.Duration) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.directions {
		d := &j.directions[i]
		if now.Sub(d.lastOver[path]) > hold {
			return false
		}
		for other, at := range d.lastOver {
			if other != path && now.Sub(at) < hold {
				return false
			}
		}
	}
	return true
}

// lastHanded is when the last message of all was handed over.
func (j *judge) lastHanded() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := j.directions[0].last
	if other := j.directions[1].last; other.After(last) {
		last = other
	}
	return last
}

// longestPause is the longest between two hand-overs of a direction that touches
// a span.
func (j *judge) longestPause(in span) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	var longest time.Duration
	for i := range j.directions {
		for _, p := range j.directions[i].pauses {
			if p.overlaps(in) {
				longest = max(longest, p.length())
			}
		}
	}
	return longest
}
