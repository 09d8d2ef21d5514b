package retry

import (
	"context"
	"time"
)

// Keep runs a stream again whenever it has ended, until ctx is done. A stream that lasts
// for DefaultMax is one that works: the next wait is short again.
//
// It tells of a state and not of each attempt, however many there are: broke of the first
// end after the stream has worked, or at all, and back once it works again. Either may be
// nil. Neither is called after ctx is done, nor beside the other.
func Keep(ctx context.Context, stream func(context.Context) error, broke func(error), back func()) {
	var wait Backoff
	broken := false
	for {
		works := make(chan struct{})
		lasted := time.AfterFunc(DefaultMax, func() {
			defer close(works)
			if broken && back != nil && ctx.Err() == nil {
				back()
			}
		})
		err := stream(ctx)
		if !lasted.Stop() {
			<-works
			broken = false
			wait.Reset()
		}
		if ctx.Err() != nil {
			return
		}
		if !broken && broke != nil {
			broke(err)
		}
		broken = true
		if wait.Wait(ctx) != nil {
			return
		}
	}
}
