package main

import (
	"sync"
	"time"
)

// judge keeps what became of every message. A message is lost when its poster was told
// that it is accepted and nobody was handed it, doubled each time that it is handed over
// again, reordered when it comes after a later one of its poster. One that was refused is
// none of these. All methods may be called by several goroutines.
type judge struct {
	mu     sync.Mutex
	pairs  []record
	counts counts
	last   time.Time // hand-over
}

// record is what is known of the messages of one poster. Numbers begin at 1.
type record struct {
	fates   []fate
	highest int // number handed over so far
	last    time.Time
}

// fate of one message.
type fate struct{ accepted, handed bool }

// counts are what is told of all.
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

func newJudge(pairs int) *judge {
	return &judge{pairs: make([]record, pairs), counts: counts{Refused: map[string]int{}}}
}

// posted gives the next message of a pair its number, before it is posted.
func (j *judge) posted(pair int) (number int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &j.pairs[pair]
	r.fates = append(r.fates, fate{})
	return len(r.fates)
}

// told says what the poster was told: nil for accepted.
func (j *judge) told(pair, number int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.counts.Refused[err.Error()]++
		return
	}
	f := &j.pairs[pair].fates[number-1]
	f.accepted = true
	j.counts.Accepted++
	if !f.handed {
		j.counts.Lost++
	}
}

// handed says that the listener of a pair was handed a message. It gives the time since
// the one before.
func (j *judge) handed(pair, number int, isDirect bool, at time.Time) (paused time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &j.pairs[pair]
	if number < 1 || number > len(r.fates) {
		j.counts.Damaged++
		return 0
	}
	if !r.last.IsZero() {
		paused = at.Sub(r.last)
		j.counts.Pause = max(j.counts.Pause, paused.Seconds())
	}
	r.last, j.last = at, at
	if isDirect {
		j.counts.Direct++
	}
	f := &r.fates[number-1]
	switch {
	case f.handed:
		j.counts.Doubled++
		return paused
	case number < r.highest:
		j.counts.Reordered++
	}
	f.handed = true
	r.highest = max(r.highest, number)
	j.counts.Handed++
	if f.accepted {
		j.counts.Lost--
	}
	return paused
}

// damaged says that something came that was never posted so.
func (j *judge) damaged() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts.Damaged++
}

// now is what is known now.
func (j *judge) now() (counts, time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.counts
	c.Refused = map[string]int{}
	for text, n := range j.counts.Refused {
		c.Refused[text] = n
	}
	return c, j.last
}
