package msgnode

import (
	"context"

	"github.com/peerbus/peerbus/internal/fault"
)

// turns bound what is under way at once. When very many runtimes come back together,
// each write waits for those of all others; past the time in which its client waits for
// an answer it is made in vain, and so are all after it. Who waits here for a turn, and
// gives up, costs the store nothing.
type turns chan struct{}

func newTurns(n int) turns { return make(turns, n) }

// take waits for a turn until ctx is done. It gives what ends the turn.
func (t turns) take(ctx context.Context) (end func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "too many runtimes open their sessions at once: %w", ctx.Err())
	}
}
