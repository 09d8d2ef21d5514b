package bus

import (
	"slices"
	"sync"
)

// burst gathers the flows and the streams that get something while one frame of a stream
// is taken, so that each is looked at and written to once, at the end of it: by the reader
// itself, where that cannot make it wait, or by the stream's writer (turn.go). A nil burst
// gathers nothing.
type burst struct {
	mu      sync.Mutex
	open    bool
	streams []*stream
	flows   []*outflow
}

// begin has the streams gathered that add is told from now on.
func (b *burst) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = true
}

// add notes a stream; false when nothing is gathered now, as the frame is over that a
// post came in.
func (b *burst) add(s *stream) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false
	}
	return gather(&b.streams, s)
}

// addFlow is add of a flow that something was offered to.
func (b *burst) addFlow(o *outflow) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open && gather(&b.flows, o)
}

// gather adds one that is not there; false when there are too many.
func gather[T comparable](all *[]T, one T) bool {
	if slices.Contains(*all, one) {
		return true
	}
	if len(*all) == burstStreams {
		return false
	}
	*all = append(*all, one)
	return true
}

// burstStreams is how many are gathered: the posts of a frame mostly go to few.
const burstStreams = 8

// end sends what is due in the flows, and has the streams written to.
func (b *burst) end() {
	for b.pump() {
		continue
	}
	streams := b.streams // nobody adds any more
	for _, s := range streams {
		s.push()
	}
	clear(streams)
	b.streams = streams[:0]
}

// pump sends what is due in the flows that were gathered, while streams still are, and
// more flows may be. It ends the gathering when there are none: then it is false.
func (b *burst) pump() bool {
	b.mu.Lock()
	flows := b.flows
	if b.open = len(flows) > 0; b.open {
		b.flows = nil
	}
	b.mu.Unlock()
	for _, o := range flows {
		o.pump()
	}
	clear(flows)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flows == nil {
		b.flows = flows[:0]
	}
	return b.open
}
