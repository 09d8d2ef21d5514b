package numbered

import (
	"maps"
	"slices"
	"time"
)

// Findings are what a judge has seen so far.
type Findings struct {
	Lost      []Incident // may still be under way
	Doubled   []Incident
	Reordered []Incident
	Damaged   int
	Refused   map[string]int // by what the poster was told, without addresses
	Lanes     []Lane
}

// Lane is what was seen of a lane.
type Lane struct {
	Accepted, Handed int
	Over             map[string]int // hand-overs by path, doubled ones too
	Pauses           []Span         // longer than ShortestPause
}

// Incident is one message that did not go as it should.
type Incident struct {
	Lane   int
	Pair   int
	Number int
	At     time.Time // posted, if lost; else handed over
}

// Span is a piece of time.
type Span struct{ From, To time.Time }

// Length is how long it is.
func (s Span) Length() time.Duration { return s.To.Sub(s.From) }

// Overlaps tells whether some time is in both.
func (s Span) Overlaps(o Span) bool { return s.From.Before(o.To) && o.From.Before(s.To) }

// Findings gives what is known now.
func (j *Judge) Findings() Findings {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := Findings{
		Lost: j.lostLocked(), Doubled: j.doubled, Reordered: j.reordered, Damaged: j.damaged, Refused: maps.Clone(j.refused),
	}
	for _, l := range j.lanes {
		seen := l.Lane
		seen.Over = maps.Clone(l.Over)
		f.Lanes = append(f.Lanes, seen)
	}
	return f
}

// lostLocked lists the messages that were accepted and are not there, in the order in
// which they were posted.
func (j *Judge) lostLocked() []Incident {
	var out []Incident
	for pair, r := range j.pairs {
		for i, f := range r.fates {
			if f.accepted && !f.handed {
				out = append(out, Incident{r.lane, pair, i + 1, f.posted})
			}
		}
	}
	slices.SortFunc(out, func(a, b Incident) int { return a.At.Compare(b.At) })
	return out
}

// Missing is how many were accepted and are not there.
func (j *Judge) Missing() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	missing := 0
	for i := range j.lanes {
		missing += j.lanes[i].missing
	}
	return missing
}

// Steadily tells whether every lane has gone over a path alone for a time.
func (j *Judge) Steadily(path string, now time.Time, hold time.Duration) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.lanes {
		l := &j.lanes[i]
		if now.Sub(l.lastOver[path]) > hold {
			return false
		}
		for other, at := range l.lastOver {
			if other != path && now.Sub(at) < hold {
				return false
			}
		}
	}
	return true
}

// LastHanded is when the last message of all was handed over.
func (j *Judge) LastHanded() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	var last time.Time
	for i := range j.lanes {
		if l := j.lanes[i].last; l.After(last) {
			last = l
		}
	}
	return last
}

// LongestPause is the longest between two hand-overs of a lane that touches
// a span.
func (j *Judge) LongestPause(in Span) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	var longest time.Duration
	for i := range j.lanes {
		for _, p := range j.lanes[i].Pauses {
			if p.Overlaps(in) {
				longest = max(longest, p.Length())
			}
		}
	}
	return longest
}
