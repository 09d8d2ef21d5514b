package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Func is a part: it blocks until its work is over or ctx is done, and leaves
// nothing running.
type Func = func(ctx context.Context) error

// All runs parts side by side. The first that fails ends the others; a part
// that returns nil just ends. All waits for every part and gives the first
// error, except for the one of a context that was meant to end.
func All(ctx context.Context, parts ...Func) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(failure{err})
			}
		})
	}
	wg.Wait()
	return cause(ctx)
}

// failure tells a part's own error from that of the surrounding context.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

func cause(ctx context.Context) error {
	var f failure
	if errors.As(context.Cause(ctx), &f) {
		return f.error
	}
	return nil
}

// Tree is a shutdown tree. The zero value is empty; Add before Run.
type Tree struct{ parts []named }

type named struct {
	name string
	run  Func
}

// Add puts a part behind those that it uses.
func (t *Tree) Add(name string, part Func) { t.parts = append(t.parts, named{name, part}) }

// Run starts all parts in the order in which they were added. When ctx is done
// or a part fails, it stops them in the reverse order and waits for each. It
// gives the first failure with the name of its part.
func (t *Tree) Run(ctx context.Context) error {
	stopping, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	started := make([]*running, 0, len(t.parts))
	for _, p := range t.parts {
		started = append(started, start(ctx, stop, p))
	}
	<-stopping.Done()
	for i := len(started) - 1; i >= 0; i-- {
		started[i].cancel()
		<-started[i].done
	}
	return cause(stopping)
}

type running struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// start runs one part on a context that only Run ends, so that the end of the
// surrounding one does not stop all parts at once.
func start(ctx context.Context, stop context.CancelCauseFunc, p named) *running {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		err := p.run(own)
		switch {
		case own.Err() != nil: // it was told to stop
		case err != nil:
			stop(failure{fmt.Errorf("%s: %w", p.name, err)})
		default:
			stop(failure{fmt.Errorf("%s: ended", p.name)})
		}
	}()
	return r
}
