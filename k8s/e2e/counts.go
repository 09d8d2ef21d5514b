package main

import "github.com/peerbus/peerbus/internal/numbered"

// counts are what is told of all pairs.
type counts struct {
	Accepted  int            `json:"accepted"`
	Handed    int            `json:"handed"`
	Direct    int            `json:"direct"`
	Lost      int            `json:"lost"` // so far: it may be under way
	Doubled   int            `json:"doubled"`
	Reordered int            `json:"reordered"`
	Damaged   int            `json:"damaged"`
	Refused   map[string]int `json:"refused,omitempty"`
	Pause     float64        `json:"longest_pause_s"` // between two hand-overs to one listener
}

// newJudge makes a judge who measures the pauses of each listener.
func newJudge() *numbered.Judge {
	laneOf := make([]int, pairs)
	for i := range laneOf {
		laneOf[i] = i
	}
	return numbered.NewJudge(pairs, laneOf)
}

func count(found numbered.Findings) counts {
	c := counts{
		Lost: len(found.Lost), Doubled: len(found.Doubled), Reordered: len(found.Reordered),
		Damaged: found.Damaged, Refused: found.Refused,
	}
	for _, listener := range found.Lanes {
		c.Accepted += listener.Accepted
		c.Handed += listener.Handed
		c.Direct += listener.Over[numbered.Direct]
		for _, p := range listener.Pauses {
			c.Pause = max(c.Pause, p.Length().Seconds())
		}
	}
	return c
}
