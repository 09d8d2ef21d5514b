package load

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/bench/internal/proc"
	"github.com/peerbus/peerbus/bench/internal/worker"
)

// Calls of a worker that is a crowd.
const (
	DoGather = "gather" // int → time.Duration: so many sessions were opened
	DoReturn = "return" // → time.Duration: all were cut off, and opened again
)

// underWay is how many sessions of a crowd are being opened at a time: fewer than a
// listening socket lets wait, beyond which the kernel tries again after a second.
const underWay = 256

// Session is one of a crowd, on a connection of its own. Its methods are called by one
// goroutine at a time.
type Session interface {
	// Open connects and opens the session. Called again, it opens it again.
	Open(ctx context.Context) error
	// Cut breaks the connection.
	Cut()
}

// CrowdOps are those of a crowd whose sessions one makes, by their number.
func CrowdOps(one func(number int) Session) worker.Ops {
	var all []Session
	return WithMemory(worker.Ops{
		DoGather: worker.Do(func(ctx context.Context, n int) (time.Duration, error) {
			for i := range n {
				all = append(all, one(i))
			}
			return openAll(ctx, all)
		}),
		DoReturn: worker.Do(func(ctx context.Context, _ struct{}) (time.Duration, error) {
			for _, s := range all {
				s.Cut()
			}
			return openAll(ctx, all)
		}),
	})
}

func openAll(ctx context.Context, all []Session) (time.Duration, error) {
	began := proc.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(underWay)
	for _, s := range all {
		g.Go(func() error { return s.Open(ctx) })
	}
	err := g.Wait()
	return proc.Now() - began, err
}
