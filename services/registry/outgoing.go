package registry

import (
	"sync"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// routesQueue is what waits to be written to one stream. The writer merges all of
// it; when it grows over its bound the stream is cut.
type routesQueue struct {
	mu    sync.Mutex
	items []*pb.RoutesResponse
	limit int
	full  bool
	wake  chan struct{}
}

func newRoutesQueue(limit int) *routesQueue {
	return &routesQueue{limit: limit, wake: make(chan struct{}, 1)}
}

// push never waits.
func (q *routesQueue) push(item *pb.RoutesResponse) {
	q.mu.Lock()
	if len(q.items) >= q.limit {
		q.full, q.items = true, nil
	}
	if !q.full {
		q.items = append(q.items, item)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// maxBatch is how many items one response carries.
const maxBatch = 512

// next gives what can be written now, merged; nil when there is nothing. An item
// is one of a kind, and kinds do not depend on one another's order but for an
// answer and a change of the same route: a batch ends where that could matter.
func (q *routesQueue) next() (*pb.RoutesResponse, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full {
		return nil, fault.New(fault.TooMany, "the bus does not keep up: more than %d answers and changes wait", q.limit)
	}
	if len(q.items) == 0 {
		return nil, nil
	}
	merged, n := &pb.RoutesResponse{}, 0
	for _, it := range q.items[:min(len(q.items), maxBatch)] {
		if pushes(merged) && !pushes(it) {
			break // an answer after a change goes into a frame of its own
		}
		merged.Answers = append(merged.Answers, it.Answers...)
		merged.Sources = append(merged.Sources, it.Sources...)
		merged.Changes = append(merged.Changes, it.Changes...)
		merged.StaleSources = append(merged.StaleSources, it.StaleSources...)
		n++
	}
	q.items = q.items[n:]
	return merged, nil
}

// pushes tells whether a frame has changes, which a bus reads after the answers.
func pushes(m *pb.RoutesResponse) bool { return len(m.Changes)+len(m.StaleSources) > 0 }
