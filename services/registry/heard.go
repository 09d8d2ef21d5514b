package registry

import "github.com/peerbus/peerbus/protocol/status"

// channel is one of the two ways on which a stub's status comes: the message on
// the bus that the wire contract has, and the P2P stub's own Watch stream.
type channel int

const (
	onBus channel = iota
	onWatch
	inSnapshot // the first response of a Watch stream: what is true now
)

// heard merges the two. Each tells the same sequence of states in order, one
// maybe later than the other, or with gaps; so what counts is how far the faster
// one is. A state is given its position in the life of a stub's connection:
//
//	1 created, 2 in-progress, 3 live, 4 disconnected, 5 live, 6 disconnected, …
//	and last failed; then the next life begins.
type heard struct {
	each    [2]int // position on each channel; 0 is nothing yet
	applied int    // the furthest position
}

// life is the number of positions in a life, and the last of them: failed.
const life = 1 << 20

// hear takes a state from a channel, and tells whether it is news.
func (h *heard) hear(c channel, s status.State) bool {
	if c == inSnapshot {
		h.each[onWatch] = h.applied
		c = onWatch
	}
	h.each[c] = following(h.each[c], s)
	if h.each[c] <= h.applied {
		return false
	}
	h.applied = h.each[c]
	return true
}

// says tells whether a state was the last one.
func (h *heard) says(s status.State) bool { return h.applied > 0 && stateAt(h.applied) == s }

// following is the first position from pos on that has the state.
func following(pos int, s status.State) int {
	if pos > 0 && stateAt(pos) == s {
		return pos
	}
	start, offset := 0, 0 // of the life, and within it
	if pos > 0 {
		start, offset = (pos-1)/life*life, (pos-1)%life+1
	}
	want := 0
	switch s {
	case status.Live:
		want = max(3, offset+1+offset%2) // the next odd one
	case status.Disconnected:
		want = max(4, offset+2-offset%2) // the next even one
	case status.Failed:
		want = life
	default:
		want = int(s) // created 1, in-progress 2
	}
	if want <= offset || offset == life {
		start += life
		want = firstOf(s)
	}
	return start + want
}

func firstOf(s status.State) int {
	if s == status.Failed {
		return life
	}
	return int(s) // created 1, in-progress 2, live 3, disconnected 4
}

func stateAt(pos int) status.State {
	switch offset := (pos-1)%life + 1; {
	case offset == life:
		return status.Failed
	case offset <= 2:
		return status.State(offset)
	case offset%2 == 1:
		return status.Live
	default:
		return status.Disconnected
	}
}
