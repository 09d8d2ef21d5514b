package main

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
func accept(j *judge, pair, ms int) {
	j.told(pair, j.posted(pair, after(ms)), nil)
}

func TestJudge(t *testing.T) {
	const a, b = 0, 1 // pairs
	for _, c := range []struct {
		name                               string
		play                               func(*judge)
		lost, doubled, reordered, damaged  int
		missing, refused, handedTo, toward int
	}{
		{name: "nothing"},
		{name: "all is well", play: func(j *judge) {
			accept(j, a, 0)
			accept(j, a, 1)
			j.handed(a, 1, direct, after(2))
			j.handed(a, 2, direct, after(3))
		}, handedTo: 2},
		{name: "lost", play: func(j *judge) {
			accept(j, a, 0)
			accept(j, a, 1)
			j.handed(a, 2, direct, after(2))
		}, lost: 1, missing: 1, handedTo: 1},
		{name: "handed over before the poster was told", play: func(j *judge) {
			n := j.posted(a, after(0))
			j.handed(a, n, direct, after(1))
			j.told(a, n, nil)
		}, handedTo: 1},
		{name: "refused and not there", play: func(j *judge) {
			j.told(a, j.posted(a, after(0)), errors.New("full"))
		}, refused: 1},
		{name: "refused and there all the same", play: func(j *judge) {
			n := j.posted(a, after(0))
			j.told(a, n, errors.New("full"))
			j.handed(a, n, direct, after(1))
		}, refused: 1, handedTo: 1},
		{name: "accepted, refused after that, and not there", play: func(j *judge) {
			accept(j, a, 0)
			j.takenBack(errors.New("no one there"))
		}, refused: 1, lost: 1, missing: 1},
		{name: "no answer, and not there", play: func(j *judge) { j.posted(a, after(0)) }},
		{name: "doubled", play: func(j *judge) {
			accept(j, a, 0)
			j.handed(a, 1, direct, after(1))
			j.handed(a, 1, relayed, after(2))
			j.handed(a, 1, relayed, after(3))
		}, doubled: 2, handedTo: 1},
		{name: "reordered", play: func(j *judge) {
			accept(j, a, 0)
			accept(j, a, 0)
			accept(j, a, 0)
			j.handed(a, 3, direct, after(1))
			j.handed(a, 1, relayed, after(2))
			j.handed(a, 2, relayed, after(3))
		}, reordered: 2, handedTo: 3},
		{name: "an old one again is doubled and not reordered", play: func(j *judge) {
			accept(j, a, 0)
			accept(j, a, 0)
			j.handed(a, 1, direct, after(1))
			j.handed(a, 2, direct, after(2))
			j.handed(a, 1, direct, after(3))
		}, doubled: 1, handedTo: 2},
		{name: "pairs have orders of their own", play: func(j *judge) {
			accept(j, a, 0)
			accept(j, a, 0)
			accept(j, b, 0)
			j.handed(a, 1, direct, after(1))
			j.handed(a, 2, direct, after(2))
			j.handed(b, 1, direct, after(3))
		}, handedTo: 2, toward: 1},
		{name: "never posted", play: func(j *judge) {
			j.handed(a, 1, direct, after(1))
			j.handed(a, 0, direct, after(1))
			j.handed(a, -1, direct, after(1))
			j.broken()
		}, damaged: 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJudge([]int{0, 1})
			if c.play != nil {
				c.play(j)
			}
			refused := 0
			for _, n := range j.refused {
				refused += n
			}
			for _, f := range []struct {
				what      string
				got, want int
			}{
				{"lost", len(j.lost()), c.lost}, {"missing", j.missing(), c.missing},
				{"doubled", len(j.doubled), c.doubled}, {"reordered", len(j.reordered), c.reordered},
				{"damaged", j.damaged, c.damaged}, {"refused", refused, c.refused},
				{"handed to bob", j.directions[0].handed, c.handedTo}, {"handed to alice", j.directions[1].handed, c.toward},
			} {
				if f.got != f.want {
					t.Errorf("%s: %d, want %d", f.what, f.got, f.want)
				}
			}
		})
	}
}

func TestJudgeMeasuresPauses(t *testing.T) {
	j := newJudge([]int{0, 1})
	for range 5 {
		accept(j, 0, 0)
		accept(j, 1, 0)
	}
	j.handed(0, 1, direct, after(0))
	j.handed(1, 1, direct, after(10)) // the other direction ends no pause of this one
	j.handed(0, 2, direct, after(10)) // too short for a pause
	j.handed(0, 3, direct, after(510))
	j.stopped(after(1010))
	got := j.directions[0].pauses
	want := []span{{after(10), after(510)}, {after(510), after(1010)}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("pauses %v, want %v", got, want)
	}
	if p := j.longestPause(span{after(0), after(20)}); p != time.Second {
		t.Errorf("the longest is %v, want 1s, that of the other direction", p)
	}
	if p := j.longestPause(span{after(1010), after(2000)}); p != 0 {
		t.Errorf("a pause of %v after all of them", p)
	}
}

func TestJudgeTellsASteadyPath(t *testing.T) {
	j := newJudge([]int{0, 1})
	for range 5 {
		accept(j, 0, 0)
		accept(j, 1, 0)
	}
	steady := func(ms int) bool { return j.steadily(direct, after(ms), 100*time.Millisecond) }
	j.handed(0, 1, relayed, after(0))
	j.handed(1, 1, direct, after(0))
	if steady(50) {
		t.Error("steady while one direction is relayed")
	}
	j.handed(0, 2, direct, after(50))
	j.handed(1, 2, direct, after(50))
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
	j := newJudge([]int{0})
	for _, text := range []string{"the queue of hyperty://example.org/1 is full", "the queue of hyperty://example.org/2 is full", "nobody there"} {
		j.told(0, j.posted(0, after(0)), errors.New(text))
	}
	if want := map[string]int{"the queue of … is full": 2, "nobody there": 1}; !maps.Equal(j.refused, want) {
		t.Errorf("%v, want %v", j.refused, want)
	}
}
