package bus

import "sync"

// burst gathers the streams that get something while one frame of a stream is taken, so
// that each is written to once, at the end of it: by the reader itself, where that cannot
// make it wait, or by the stream's writer (turn.go). A nil burst gathers nothing.
type burst struct {
	mu      sync.Mutex
	open    bool
	streams []*stream
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
	for _, has := range b.streams {
		if has == s {
			return true
		}
	}
	if len(b.streams) == burstStreams {
		return false
	}
	b.streams = append(b.streams, s)
	return true
}

// burstStreams is how many are gathered: the posts of a frame mostly go to few.
const burstStreams = 8

// end has the streams written to that were gathered.
func (b *burst) end() {
	b.mu.Lock()
	b.open = false
	streams := b.streams
	b.mu.Unlock()
	for _, s := range streams {
		s.push()
	}
	clear(streams)
	b.streams = streams[:0]
}
