package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peerbus/peerbus/internal/numbered"
)

// occurrence is one fault that has happened.
type occurrence struct {
	name          string
	numbered.Span // from its beginning until it was healed
}

const (
	// lead is how long before a fault a message may have been posted for it to
	// count among those that the fault hit: it was still under way.
	lead = time.Second
	// aftermath is how long after it was healed a fault is still charged.
	aftermath = time.Second
	// outside is where what no fault explains is counted.
	outside = "outside of all faults"
)

// row of the table: one kind of fault.
type row struct {
	Fault     string  `json:"fault"`
	Times     int     `json:"times"`
	Lost      int     `json:"lost"`
	Doubled   int     `json:"doubled"`
	Reordered int     `json:"reordered"`
	Pause     float64 `json:"longest_pause_seconds"`
	Held      float64 `json:"held_seconds"` // the fault of that pause
}

// report is what a run has shown.
type report struct {
	Seed      uint64         `json:"seed"`
	Seconds   float64        `json:"seconds"`
	Faults    int            `json:"faults"`
	Accepted  int            `json:"accepted"`
	HandedTo  [2]int         `json:"handed_over"` // to bob, to alice
	Over      map[string]int `json:"over"`        // hand-overs by path
	Lost      int            `json:"lost"`
	Doubled   int            `json:"doubled"`
	Reordered int            `json:"reordered"`
	Damaged   int            `json:"damaged"`
	Refused   map[string]int `json:"refused,omitempty"`
	Direct    bool           `json:"direct_at_the_end"`
	Rows      []row          `json:"rows"`
	Incidents []string       `json:"incidents,omitempty"`
	Failures  []string       `json:"failures,omitempty"` // of processes
}

// newReport charges what the judge has seen to the faults that happened then. Of
// faults that overlap each is charged; the totals count once.
func newReport(found numbered.Findings, began time.Time, happened []occurrence) *report {
	r := &report{
		Faults: len(happened), Lost: len(found.Lost), Doubled: len(found.Doubled), Reordered: len(found.Reordered),
		Damaged: found.Damaged, Refused: found.Refused, Over: map[string]int{},
	}
	for i, direction := range found.Lanes {
		r.Accepted += direction.Accepted
		r.HandedTo[i] = direction.Handed
		for path, n := range direction.Over {
			r.Over[path] += n
		}
	}
	t := tally{happened: happened, rows: map[string]*row{}}
	for _, o := range happened {
		t.row(o.name).Times++
	}
	for _, kind := range []struct {
		what string
		list []numbered.Incident
		lead time.Duration
		add  func(*row)
	}{
		{"lost", found.Lost, lead, func(r *row) { r.Lost++ }},
		{"doubled", found.Doubled, 0, func(r *row) { r.Doubled++ }},
		{"reordered", found.Reordered, 0, func(r *row) { r.Reordered++ }},
	} {
		t.charge(kind.list, kind.lead, kind.add)
		r.Incidents = append(r.Incidents, t.describe(kind.what, kind.list, kind.lead, began)...)
	}
	for _, direction := range found.Lanes {
		t.pauses(direction.Pauses)
	}
	r.Rows = t.sorted()
	return r
}

// tally adds up by kind of fault.
type tally struct {
	happened []occurrence
	rows     map[string]*row
}

func (t *tally) row(name string) *row {
	if t.rows[name] == nil {
		t.rows[name] = &row{Fault: name}
	}
	return t.rows[name]
}

func (t *tally) charge(list []numbered.Incident, lead time.Duration, add func(*row)) {
	for _, i := range list {
		for _, name := range t.blamed(i, lead) {
			add(t.row(name))
		}
	}
}

// blamed names the faults that an incident is charged to.
func (t *tally) blamed(i numbered.Incident, lead time.Duration) []string {
	var names []string
	for _, o := range t.happened {
		if !i.At.Before(o.From.Add(-lead)) && !i.At.After(o.To.Add(aftermath)) && !slices.Contains(names, o.name) {
			names = append(names, o.name)
		}
	}
	if len(names) == 0 {
		names = []string{outside}
	}
	return names
}

func (t *tally) pauses(list []numbered.Span) {
	for _, p := range list {
		explained := false
		for _, o := range t.happened {
			if p.Overlaps(numbered.Span{From: o.From, To: o.To.Add(aftermath)}) {
				explained = true
				t.row(o.name).paused(p.Length(), o.Length())
			}
		}
		if !explained {
			t.row(outside).paused(p.Length(), 0)
		}
	}
}

func (r *row) paused(pause, held time.Duration) {
	if seconds := pause.Seconds(); seconds > r.Pause {
		r.Pause, r.Held = seconds, held.Seconds()
	}
}

func (t *tally) sorted() []row {
	var out []row
	for _, r := range t.rows {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b row) int {
		if (a.Fault == outside) != (b.Fault == outside) {
			if a.Fault == outside {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Fault, b.Fault)
	})
	return out
}

// describe names the first messages of a list, and the faults around them.
func (t *tally) describe(what string, list []numbered.Incident, lead time.Duration, began time.Time) []string {
	const most = 10
	var out []string
	for n, i := range list {
		if n == most {
			out = append(out, fmt.Sprintf("%s: %d more", what, len(list)-most))
			break
		}
		out = append(out, fmt.Sprintf("%s: %s, pair %d, number %d, at %.3f s: %s", what, directionName(i.Lane),
			i.Pair, i.Number, i.At.Sub(began).Seconds(), strings.Join(t.blamed(i, lead), ", ")))
	}
	return out
}

func directionName(d int) string { return []string{"alice to bob", "bob to alice"}[d] }

// verdict is nil when all is as promised.
func (r *report) verdict() error {
	return errors.Join(r.losses(), complaint(r.HandedTo[0] == 0 || r.HandedTo[1] == 0, "no message came in one direction"),
		complaint(r.refusals() > r.Accepted, "%d messages were refused, more than were accepted", r.refusals()),
		complaint(!r.Direct, "the path at the end is not direct"),
		complaint(len(r.Failures) > 0, "%d processes did what they should not", len(r.Failures)))
}

// losses is nil when every message came once and in order.
func (r *report) losses() error {
	return errors.Join(
		complaint(r.Lost > 0, "%d messages were lost", r.Lost),
		complaint(r.Doubled > 0, "%d messages came twice", r.Doubled),
		complaint(r.Reordered > 0, "%d messages came out of order", r.Reordered),
		complaint(r.Damaged > 0, "%d messages came damaged", r.Damaged),
	)
}

func complaint(bad bool, format string, args ...any) error {
	if !bad {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func (r *report) refusals() int {
	total := 0
	for _, n := range r.Refused {
		total += n
	}
	return total
}
