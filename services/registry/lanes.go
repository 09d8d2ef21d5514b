package registry

import (
	"context"
	"sync"
)

// laneRoom is how many jobs of one lane may wait before those who bring news for
// it are made to wait: an event makes one job, and jobs are short.
const laneRoom = 64

// lanes runs what takes time. Jobs of one lane run in order, one at a time;
// different lanes run side by side, each on a goroutine that lives while it has
// jobs. A lane is a remote runtime, so there are no more than entries.
type lanes struct {
	mu      sync.Mutex
	ctx     context.Context // ends with Run; nil while it is not running
	queues  map[string][]job
	running sync.WaitGroup
	done    chan struct{} // closed and made anew whenever a job is done
}

type job func(ctx context.Context)

func newLanes() *lanes { return &lanes{queues: map[string][]job{}, done: make(chan struct{})} }

// run lets jobs run until ctx is done, and waits for them.
func (l *lanes) run(ctx context.Context, ready func()) error {
	l.mu.Lock()
	l.ctx = ctx
	l.mu.Unlock()
	ready()
	<-ctx.Done()
	l.mu.Lock()
	l.ctx = nil // what comes from here on is not run
	clear(l.queues)
	l.mu.Unlock()
	l.running.Wait()
	return nil
}

// put adds a job to a lane. It never waits.
func (l *lanes) put(lane string, j job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		return
	}
	queue, busy := l.queues[lane]
	l.queues[lane] = append(queue, j)
	if !busy {
		ctx := l.ctx
		l.running.Go(func() { l.work(ctx, lane) })
	}
}

// spawn runs a job beside all lanes. Whoever spawns bounds how many.
func (l *lanes) spawn(j job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		return false
	}
	ctx := l.ctx
	l.running.Go(func() { j(ctx) })
	return true
}

func (l *lanes) work(ctx context.Context, lane string) {
	for {
		l.mu.Lock()
		queue := l.queues[lane]
		if len(queue) == 0 {
			delete(l.queues, lane)
			l.mu.Unlock()
			return
		}
		j := queue[0]
		l.queues[lane] = queue[1:]
		l.mu.Unlock()
		j(ctx)
		l.mu.Lock()
		close(l.done)
		l.done = make(chan struct{})
		l.mu.Unlock()
	}
}

// settle waits until a lane has room, for those who bring its news.
func (l *lanes) settle(ctx context.Context, lane string) {
	for {
		l.mu.Lock()
		full, done := len(l.queues[lane]) >= laneRoom, l.done
		l.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}
