package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/numbered"
)

// testBegin is when the stories below begin; after gives a time in them.
var testBegin = time.Unix(1000, 0)

func after(ms int) time.Time { return testBegin.Add(time.Duration(ms) * time.Millisecond) }

func span(from, to int) numbered.Span { return numbered.Span{From: after(from), To: after(to)} }

// accept posts the next message of a pair, and has it accepted.
func accept(j *numbered.Judge, pair, ms int) {
	j.Told(pair, j.Posted(pair, after(ms)), nil)
}

func happened(name string, from, to int) occurrence {
	return occurrence{name, span(from, to)}
}

func rowsOf(r *report) map[string]row {
	rows := map[string]row{}
	for _, x := range r.Rows {
		rows[x.Fault] = x
	}
	return rows
}

func TestReportChargesFaults(t *testing.T) {
	j := numbered.NewJudge(2, []int{0, 1})
	accept(j, 0, 10_500) // lost while both faults are there
	accept(j, 0, 9_500)  // lost, under way as the first began
	accept(j, 0, 30_000) // lost, and no fault is near
	accept(j, 1, 20_000)
	j.Handed(1, 1, numbered.Direct, after(20_000))
	j.Handed(1, 1, numbered.Relayed, after(22_500)) // doubled, after a long pause, as the third has just healed
	r := newReport(j.Findings(), testBegin, []occurrence{
		happened("cut", 10_000, 12_000), happened("kill", 10_400, 11_000), happened("cut", 21_000, 22_000),
	})
	want := map[string]row{
		"cut":   {Fault: "cut", Times: 2, Lost: 2, Doubled: 1, Pause: 2.5, Held: 1},
		"kill":  {Fault: "kill", Times: 1, Lost: 2},
		outside: {Fault: outside, Lost: 1},
	}
	if got := rowsOf(r); !reflect.DeepEqual(got, want) {
		t.Errorf("rows %+v\nwant %+v", got, want)
	}
	if r.Lost != 3 || r.Doubled != 1 || r.Faults != 3 {
		t.Errorf("totals %+v", r)
	}
	if last := r.Rows[len(r.Rows)-1].Fault; last != outside {
		t.Errorf("the last row is %s", last)
	}
	if len(r.Incidents) != 4 || r.Incidents[0] != "lost: alice to bob, pair 0, number 2, at 9.500 s: cut, kill" {
		t.Errorf("incidents %q", r.Incidents)
	}
}

func TestReportNamesSomeIncidents(t *testing.T) {
	j := numbered.NewJudge(1, []int{0})
	for range 25 {
		accept(j, 0, 0)
	}
	r := newReport(j.Findings(), testBegin, nil)
	if len(r.Incidents) != 11 || r.Incidents[10] != "lost: 15 more" {
		t.Errorf("%q", r.Incidents)
	}
}

func TestVerdict(t *testing.T) {
	good := func() report { return report{HandedTo: [2]int{1, 1}, Direct: true} }
	for _, c := range []struct {
		want string // "" for none
		make func(*report)
	}{
		{"", func(*report) {}},
		{"1 messages were lost", func(r *report) { r.Lost = 1 }},
		{"1 messages came twice", func(r *report) { r.Doubled = 1 }},
		{"1 messages came out of order", func(r *report) { r.Reordered = 1 }},
		{"1 messages came damaged", func(r *report) { r.Damaged = 1 }},
		{"no message came in one direction", func(r *report) { r.HandedTo[1] = 0 }},
		{"2 messages were refused, more than were accepted", func(r *report) { r.Accepted, r.Refused = 1, map[string]int{"full": 2} }},
		{"the path at the end is not direct", func(r *report) { r.Direct = false }},
		{"1 processes did what they should not", func(r *report) { r.Failures = []string{"bus ended by itself"} }},
	} {
		r := good()
		c.make(&r)
		got := ""
		if err := r.verdict(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("verdict %q, want %q", got, c.want)
		}
	}
}

func TestTableShowsRowsAndTotals(t *testing.T) {
	r := report{
		Seed: 9, Seconds: 60, Faults: 3, Lost: 1, HandedTo: [2]int{5, 6}, Over: map[string]int{numbered.Direct: 11},
		Rows:    []row{{Fault: "cut", Times: 3, Lost: 1, Pause: 1.5, Held: 1}},
		Refused: map[string]int{"full": 2}, Incidents: []string{"lost: one"}, Failures: []string{"bus ended by itself"},
	}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"cut    3      1     0        0          1.50 s         1.00 s\n", "all    3      1     0        0          1.50 s         1.00 s\n",
		"3 faults in 60 s, seed 9\n", "5 handed over to bob and 6 to alice; 11 came direct", "refused 2 times: full\n", "lost: one\n", "bus ended by itself\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestPhasesCompareWithSteadyTraffic(t *testing.T) {
	handed := func(ms int, latency time.Duration) handOver { return handOver{after(ms), latency, numbered.Direct} }
	stages := []stage{
		{steadyDirect, span(0, 1000)},
		{"switch", span(2000, 3000)}, {"switch", span(5000, 6000)},
		{"nothing came", span(8000, 9000)},
	}
	got := phases("paced", stages, []handOver{
		handed(0, 2*time.Millisecond), handed(999, 2*time.Millisecond), handed(1000, time.Hour), // the last is outside
		handed(2500, 4*time.Millisecond), handed(5500, 6*time.Millisecond),
	})
	want := []phase{
		{Pass: "paced", Phase: steadyDirect, Spans: 1, Rate: 2, P50: 2, P99: 2, Max: 2, RateBy: 1, P50By: 1, P99By: 1},
		{Pass: "paced", Phase: "switch", Spans: 2, Rate: 1, P50: 4, P99: 4, Max: 6, RateBy: 0.5, P50By: 2, P99By: 2},
		{Pass: "paced", Phase: "nothing came", Spans: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}
