package bus

import (
	"context"

	"github.com/peerbus/peerbus/protocol/codec"
)

// A stream is written to by one goroutine at a time: by its writer, or by the reader of
// another stream that has just had something for it. The latter saves a change of
// goroutines, which is most of what a message costs on an idle bus, and must not wait:
// not everybody reads what he is sent. So it writes only what gRPC takes at once for
// sure: of a stream gRPC lets 64 KiB wait before it blocks who sends, and gives the
// memory back of what it has sent.

// How much of a stream gRPC may have to send when another stream's reader writes to it,
// and how much that one writes, in bytes.
const (
	leavingBytes = 24 << 10
	pushBytes    = 4 << 10
)

// wakeBy has the stream written to that has got something by a post of a frame, at the
// end of that frame if it is not over.
func (s *stream) wakeBy(b *burst) {
	if !b.add(s) {
		s.signal()
	}
}

// push writes what is queued, or has the writer do it where that might take time.
func (s *stream) push() {
	s.mu.Lock()
	pushed := s.send != nil && !s.sending && !s.closed &&
		s.queued+s.told <= pushBytes && s.leaves.Load() <= leavingBytes
	s.sending = s.sending || pushed
	s.mu.Unlock()
	if !pushed {
		s.signal()
		return
	}
	if _, err := s.sendNext(s.send); err != nil {
		s.cancel(err)
	}
	s.endTurn()
}

// turn begins a turn of the writer; false while somebody else has his, who wakes the
// writer then.
func (s *stream) turn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending {
		s.wanted = true
		return false
	}
	s.sending = true
	return true
}

// endTurn ends a turn. Whatever came meanwhile is the writer's.
func (s *stream) endTurn() {
	s.mu.Lock()
	more := s.wanted || s.ready.len() > 0 || s.outcomes.len() > 0
	s.sending, s.wanted = false, false
	s.mu.Unlock()
	if more {
		s.signal()
	}
}

// write sends what is queued, as much as fits into a frame, until ctx is done.
func (s *stream) write(ctx context.Context, send func(*codec.Response) error) error {
	for {
		sent := false
		if s.turn() {
			var err error
			if sent, err = s.sendNext(send); err != nil {
				return err // and the turn stays: nobody sends any more
			}
			s.endTurn()
		}
		if sent {
			continue
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// sendNext sends a frame of what is queued; false when there was nothing. It is for who
// has the turn.
func (s *stream) sendNext(send func(*codec.Response) error) (bool, error) {
	frame, handed := s.take()
	if frame == nil {
		return false, nil
	}
	err := send(frame)
	if err != nil {
		s.bus.carryOut(lost(handed, refuse(reasonGone, 503, "the stream of the listener broke")))
		return false, err
	}
	for _, o := range frame.Outcomes {
		s.charge(-outcomeCost(o))
	}
	for _, h := range handed {
		if h.dealt() {
			s.bus.finish(h.post)
		}
	}
	return true, nil
}
