package msgnode

import (
	"context"
	"slices"
	"sync"

	"github.com/peerbus/peerbus/internal/fault"
)

// turns bound what is under way at once. When very many runtimes come back together,
// each write waits for those of all others; past the time for which its client waits
// it is made in vain, and so are all behind it. Who waits here for a turn and gives up
// costs the store nothing. The last to come has the next turn: the first may have
// hardly any patience left. Its methods may be called at the same time.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting []chan struct{} // each holds one signal; the last to come is the last
}

func newTurns(n int) *turns { return &turns{free: n} }

// take waits for a turn until ctx is done. Without an error, end must follow.
func (t *turns) take(ctx context.Context) error {
	mine := t.begin()
	if mine == nil {
		return nil
	}
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
		if !t.leave(mine) {
			return nil // it has come at the same moment
		}
		return fault.New(fault.Unavailable, "too many runtimes come or go at once: %w", ctx.Err())
	}
}

// begin takes a turn that is free, or gives the place of one who waits.
func (t *turns) begin() chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free > 0 {
		t.free--
		return nil
	}
	mine := make(chan struct{}, 1)
	t.waiting = append(t.waiting, mine)
	return mine
}

// leave tells whether it was still waiting.
func (t *turns) leave(mine chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, mine)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	return i >= 0
}

// end gives the turn to the last who waits.
func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.waiting) - 1
	if last < 0 {
		t.free++
		return
	}
	t.waiting[last] <- struct{}{}
	t.waiting[last], t.waiting = nil, t.waiting[:last]
}
