package numbered

import (
	"errors"
	"maps"
	"testing"
	"time"
)

// testBegin is when the stories below begin; after gives a time in them.
var testBegin = time.Unix(1000, 0)

func after(ms int) time.Time { return testBegin.Add(time.Duration(ms) * time.Millisecond) }

// accept posts the next message of a pair, and has it accepted.
func accept(j *Judge, pair, ms int) {
	j.Told(pair, j.Posted(pair, after(ms)), nil)
}

func TestJudge(t *testing.T) {
	const a, b = 0, 1 // pairs
	for _, c := range []struct {
		name                              string
		play                              func(*Judge)
		lost, doubled, reordered, damaged int
		missing, refused, in0, in1        int
	}{
		{name: "nothing"},
		{name: "all is well", play: func(j *Judge) {
			accept(j, a, 0)
			accept(j, a, 1)
			j.Handed(a, 1, Direct, after(2))
			j.Handed(a, 2, Direct, after(3))
		}, in0: 2},
		{name: "lost", play: func(j *Judge) {
			accept(j, a, 0)
			accept(j, a, 1)
			j.Handed(a, 2, Direct, after(2))
		}, lost: 1, missing: 1, in0: 1},
		{name: "handed over before the poster was told", play: func(j *Judge) {
			n := j.Posted(a, after(0))
			j.Handed(a, n, Direct, after(1))
			j.Told(a, n, nil)
		}, in0: 1},
		{name: "refused and not there", play: func(j *Judge) {
			j.Told(a, j.Posted(a, after(0)), errors.New("full"))
		}, refused: 1},
		{name: "refused and there all the same", play: func(j *Judge) {
			n := j.Posted(a, after(0))
			j.Told(a, n, errors.New("full"))
			j.Handed(a, n, Direct, after(1))
		}, refused: 1, in0: 1},
		{name: "accepted, refused after that, and not there", play: func(j *Judge) {
			accept(j, a, 0)
			j.TakenBack(errors.New("no one there"))
		}, refused: 1, lost: 1, missing: 1},
		{name: "no answer, and not there", play: func(j *Judge) { j.Posted(a, after(0)) }},
		{name: "doubled", play: func(j *Judge) {
			accept(j, a, 0)
			j.Handed(a, 1, Direct, after(1))
			j.Handed(a, 1, Relayed, after(2))
			j.Handed(a, 1, Relayed, after(3))
		}, doubled: 2, in0: 1},
		{name: "reordered", play: func(j *Judge) {
			accept(j, a, 0)
			accept(j, a, 0)
			accept(j, a, 0)
			j.Handed(a, 3, Direct, after(1))
			j.Handed(a, 1, Relayed, after(2))
			j.Handed(a, 2, Relayed, after(3))
		}, reordered: 2, in0: 3},
		{name: "an old one again is doubled and not reordered", play: func(j *Judge) {
			accept(j, a, 0)
			accept(j, a, 0)
			j.Handed(a, 1, Direct, after(1))
			j.Handed(a, 2, Direct, after(2))
			j.Handed(a, 1, Direct, after(3))
		}, doubled: 1, in0: 2},
		{name: "pairs have orders of their own", play: func(j *Judge) {
			accept(j, a, 0)
			accept(j, a, 0)
			accept(j, b, 0)
			j.Handed(a, 1, Direct, after(1))
			j.Handed(a, 2, Direct, after(2))
			j.Handed(b, 1, Direct, after(3))
		}, in0: 2, in1: 1},
		{name: "never posted", play: func(j *Judge) {
			j.Handed(a, 1, Direct, after(1))
			j.Handed(a, 0, Direct, after(1))
			j.Handed(a, -1, Direct, after(1))
			j.Broken()
		}, damaged: 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := NewJudge(2, []int{0, 1})
			if c.play != nil {
				c.play(j)
			}
			refused, found := 0, j.Findings()
			for _, n := range found.Refused {
				refused += n
			}
			for _, f := range []struct {
				what      string
				got, want int
			}{
				{"lost", len(found.Lost), c.lost}, {"missing", j.Missing(), c.missing},
				{"doubled", len(found.Doubled), c.doubled}, {"reordered", len(found.Reordered), c.reordered},
				{"damaged", found.Damaged, c.damaged}, {"refused", refused, c.refused},
				{"handed over in lane 0", found.Lanes[0].Handed, c.in0}, {"handed over in lane 1", found.Lanes[1].Handed, c.in1},
			} {
				if f.got != f.want {
					t.Errorf("%s: %d, want %d", f.what, f.got, f.want)
				}
			}
		})
	}
}

func TestJudgeMeasuresPauses(t *testing.T) {
	j := NewJudge(2, []int{0, 1})
	for range 5 {
		accept(j, 0, 0)
		accept(j, 1, 0)
	}
	j.Handed(0, 1, Direct, after(0))
	j.Handed(1, 1, Direct, after(10)) // the other lane ends no pause of this one
	j.Handed(0, 2, Direct, after(10)) // too short for a pause
	j.Handed(0, 3, Direct, after(510))
	j.Stopped(after(1010))
	got := j.Findings().Lanes[0].Pauses
	want := []Span{{after(10), after(510)}, {after(510), after(1010)}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("pauses %v, want %v", got, want)
	}
	if p := j.LongestPause(Span{after(0), after(20)}); p != time.Second {
		t.Errorf("the longest is %v, want 1s, that of the other lane", p)
	}
	if p := j.LongestPause(Span{after(1010), after(2000)}); p != 0 {
		t.Errorf("a pause of %v after all of them", p)
	}
}

func TestJudgeTellsASteadyPath(t *testing.T) {
	j := NewJudge(2, []int{0, 1})
	for range 5 {
		accept(j, 0, 0)
		accept(j, 1, 0)
	}
	steady := func(ms int) bool { return j.Steadily(Direct, after(ms), 100*time.Millisecond) }
	j.Handed(0, 1, Relayed, after(0))
	j.Handed(1, 1, Direct, after(0))
	if steady(50) {
		t.Error("steady while one lane is relayed")
	}
	j.Handed(0, 2, Direct, after(50))
	j.Handed(1, 2, Direct, after(50))
	if steady(90) {
		t.Error("steady so soon after the last that was relayed")
	}
	if !steady(120) {
		t.Error("not steady")
	}
	if steady(200) {
		t.Error("steady, and nothing comes any more")
	}
}

func TestRefusalsAreCountedByTheirKind(t *testing.T) {
	j := NewJudge(1, []int{0})
	for _, text := range []string{"the queue of hyperty://example.org/1 is full", "the queue of hyperty://example.org/2 is full", "nobody there"} {
		j.Told(0, j.Posted(0, after(0)), errors.New(text))
	}
	if want := map[string]int{"the queue of … is full": 2, "nobody there": 1}; !maps.Equal(j.Findings().Refused, want) {
		t.Errorf("%v, want %v", j.Findings().Refused, want)
	}
}
