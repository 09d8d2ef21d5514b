package bus

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/peerbus/peerbus/internal/fault"
)

// streams counts the calls that are under way, and ends them with the bus.
type streams struct {
	limits  *Limits
	life    context.Context // ends with the bus
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	open    int // Attach and Listen
	others  int // those of other replicas
	all     map[*stream]struct{}
	calls   int  // Post
	leaving bool // those of other replicas alone come in
	over    bool
}

func newStreams(l *Limits) *streams {
	life, cancel := context.WithCancel(context.Background())
	return &streams{limits: l, life: life, cancel: cancel, all: map[*stream]struct{}{}}
}

var errStopping = fault.New(fault.Unavailable, "the bus is stopping")

// enter counts a call in, under one of both bounds. leave must be called at its
// end; ctx ends with the call or with the bus.
func (s *streams) enter(call context.Context, count *int, limit int) (ctx context.Context, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, nil, errStopping
	}
	if *count >= limit {
		return nil, nil, fault.New(fault.TooMany, "the bus has %d such calls already", *count)
	}
	*count++
	s.running.Add(1)
	ctx, cancel := context.WithCancelCause(call)
	stop := context.AfterFunc(s.life, func() { cancel(errStopping) })
	return ctx, func() {
		stop()
		cancel(nil)
		s.mu.Lock()
		*count--
		s.mu.Unlock()
		s.running.Done()
	}, nil
}

// end ends all calls, and waits for them.
func (s *streams) end() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// note adds a stream to those that are there, or takes it out; false when it must not
// come.
func (s *streams) note(one *stream, on bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !on:
		delete(s.all, one)
	case s.leaving && one.peer == "":
		return false
	default:
		s.all[one] = struct{}{}
	}
	return true
}

// here are the streams that are open.
func (s *streams) here() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}

// enter counts a stream in. What it has here is gone once leave has returned.
func (b *Bus) enter(call context.Context, s *stream) (ctx context.Context, leave func(), err error) {
	count := &b.streams.open
	if s.peer != "" { // clients that are many do not keep replicas apart
		count = &b.streams.others
	}
	ctx, end, err := b.streams.enter(call, count, b.limits.Streams)
	if err != nil {
		return nil, nil, err
	}
	ctx, s.cancel = context.WithCancelCause(ctx)
	if !b.streams.note(s, true) {
		end()
		return nil, nil, errStopping
	}
	b.log.Info("attached", "name", s.name, "component", label(s.comp))
	return ctx, func() {
		s.cancel(nil)
		if left := s.close(); s.origin == nil || left {
			b.requests.abandon(s)
		}
		b.carryOut(b.table.removeAll(s))
		b.mesh.leave(s)
		b.streams.note(s, false)
		s.origin.detach(s)
		b.table.clientGone(s)
		close(s.gone)
		b.log.Info("detached", "name", s.name, "component", label(s.comp))
		end()
	}, nil
}

// close drops the outcomes that cannot be sent any more; it tells whether the
// client has left of its own will.
func (s *stream) close() (left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, o := range s.outcomes.drain() {
		s.charge(-outcomeCost(o))
	}
	return s.left
}
