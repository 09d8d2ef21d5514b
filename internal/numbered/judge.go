package numbered

import (
	"regexp"
	"sync"
	"time"
)

// Judge keeps what became of every message. A message is
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
type Judge struct {
	mu        sync.Mutex
	pairs     []*record
	lanes     []lane
	doubled   []Incident
	reordered []Incident
	damaged   int
	refused   map[string]int // by what the poster was told
}

// record is what is known of the messages of one poster. Numbers begin at 1.
type record struct {
	lane    int
	fates   []fate
	highest int // number handed over so far
}

// fate of one message.
type fate struct {
	posted   time.Time
	accepted bool
	handed   bool
}

// lane is the traffic of some pairs.
type lane struct {
	Lane
	missing  int // accepted and not handed over, so far
	lastOver map[string]time.Time
	last     time.Time // hand-over
}

// ShortestPause is what counts as a pause: less is how steady traffic looks.
const ShortestPause = 50 * time.Millisecond

// NewJudge makes a judge of so many lanes, numbered from 0. laneOf has the lane of each
// pair.
func NewJudge(lanes int, laneOf []int) *Judge {
	j := &Judge{lanes: make([]lane, lanes), refused: map[string]int{}}
	for _, l := range laneOf {
		j.pairs = append(j.pairs, &record{lane: l})
	}
	for i := range j.lanes {
		j.lanes[i].Over, j.lanes[i].lastOver = map[string]int{}, map[string]time.Time{}
	}
	return j
}

// Posted gives the next message of a pair its number, before it is posted.
func (j *Judge) Posted(pair int, at time.Time) (number int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.pairs[pair]
	r.fates = append(r.fates, fate{posted: at})
	return len(r.fates)
}

// Told says what the poster was told: nil for accepted.
func (j *Judge) Told(pair, number int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.refused[withoutAddresses(err)]++
		return
	}
	r := j.pairs[pair]
	f, l := &r.fates[number-1], &j.lanes[r.lane]
	f.accepted = true
	l.Accepted++
	if !f.handed {
		l.missing++
	}
}

// addresses are what tells refusals of one kind apart in their text.
var addresses = regexp.MustCompile(`[a-z0-9-]+://\S+`)

func withoutAddresses(err error) string { return addresses.ReplaceAllString(err.Error(), "…") }

// TakenBack says that a message was refused after it had been accepted. If it is
// not there, it is lost all the same.
func (j *Judge) TakenBack(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refused["after it was accepted: "+withoutAddresses(err)]++
}

// Handed says that the listener of a pair was handed a message. It gives the time since
// the hand-over before, in the same lane.
func (j *Judge) Handed(pair, number int, path string, at time.Time) (paused time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.pairs[pair]
	if number < 1 || number > len(r.fates) {
		j.damaged++
		return 0
	}
	l := &j.lanes[r.lane]
	paused = l.note(path, at)
	f, what := &r.fates[number-1], Incident{r.lane, pair, number, at}
	switch {
	case f.handed:
		j.doubled = append(j.doubled, what)
	case number < r.highest:
		j.reordered = append(j.reordered, what)
	}
	if !f.handed {
		l.Handed++
		if f.accepted {
			l.missing--
		}
	}
	f.handed = true
	r.highest = max(r.highest, number)
	return paused
}

func (l *lane) note(path string, at time.Time) (paused time.Duration) {
	paused = l.paused(at)
	l.Over[path]++
	l.last, l.lastOver[path] = at, at
	return paused
}

// paused notes the time since the last hand-over, if it is a pause.
func (l *lane) paused(until time.Time) time.Duration {
	if l.last.IsZero() {
		return 0
	}
	s := Span{l.last, until}
	if s.Length() > ShortestPause {
		l.Pauses = append(l.Pauses, s)
	}
	return s.Length()
}

// Broken says that something was handed over that was never posted so.
func (j *Judge) Broken() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.damaged++
}

// Stopped says that nothing more is posted: what was not handed over until now
// is a pause too.
func (j *Judge) Stopped(at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.lanes {
		j.lanes[i].paused(at)
	}
}
