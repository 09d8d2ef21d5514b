package msgnode

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// queue is what waits for a socket: answers of the node, and what others send.
// Answers go first and have a bound of their own, so that a flood of messages
// never holds up the session itself. One goroutine takes; any may put.
type queue struct {
	limits *Limits
	wake   chan struct{} // something to take, or the end; holds one signal
	room   chan struct{} // an answer was taken; holds one signal

	mu      sync.Mutex
	control []*pb.Message
	relay   []*pb.Message
	bytes   int  // of relay
	live    bool // relay may be taken: the session's opening has been answered
	ended   bool // nothing more is put; what is there may be taken
}

func newQueue(l *Limits) *queue {
	return &queue{limits: l, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// offer puts an answer, unless the bound is reached.
func (q *queue) offer(m *pb.Message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended || len(q.control) >= q.limits.ControlQueue {
		return false
	}
	q.control = append(q.control, m)
	signal(q.wake)
	return true
}

// answer puts an answer, and waits for room: it is for the goroutine that reads
// the socket, so that a client which takes no answers is not read.
func (q *queue) answer(ctx context.Context, m *pb.Message) {
	for !q.offer(m) {
		select {
		case <-q.room:
		case <-ctx.Done():
			return
		}
	}
}

// push puts a message of another; false when there is no room.
func (q *queue) push(m *pb.Message) bool {
	size := proto.Size(m)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended || len(q.relay) >= q.limits.RelayQueue || (q.bytes > 0 && q.bytes+size > q.limits.RelayBytes) {
		return false
	}
	q.relay = append(q.relay, m)
	q.bytes += size
	signal(q.wake)
	return true
}

// adopt puts what another socket of the session has not sent in front.
func (q *queue) adopt(left []*pb.Message) {
	if len(left) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.relay = append(left, q.relay...)
	for _, m := range left {
		q.bytes += proto.Size(m)
	}
	signal(q.wake)
}

// leave gives up what others have sent: the session is on another socket, or
// lost.
func (q *queue) leave() []*pb.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.relay
	q.relay, q.bytes, q.live = nil, 0, false
	return left
}

// goLive lets the messages of others out.
func (q *queue) goLive() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.live = true
	signal(q.wake)
}

// end lets the taker finish with what is there.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	signal(q.wake)
}

// take waits for something to send, and gives a batch. It is empty at the end,
// or when ctx is done.
func (q *queue) take(ctx context.Context) []*pb.Message {
	for {
		batch, ended := q.batch()
		if len(batch) > 0 || ended {
			return batch
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

func (q *queue) batch() (batch []*pb.Message, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := 0
	grow := func(from []*pb.Message) []*pb.Message {
		for len(from) > 0 && len(batch) < message.MaxFrames && size < q.limits.BatchBytes {
			batch, size = append(batch, from[0]), size+proto.Size(from[0])
			from[0], from = nil, from[1:]
		}
		return from
	}
	q.control = grow(q.control)
	answers, before := len(batch), size
	if answers > 0 {
		signal(q.room)
	}
	if q.live {
		q.relay = grow(q.relay)
		q.bytes -= size - before
	}
	return batch, q.ended
}
