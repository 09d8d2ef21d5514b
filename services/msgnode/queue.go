package msgnode

import (
	"context"
	"errors"
	"sync"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
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
	relay   []outgoing
	bytes   int  // of relay
	live    bool // relay may be taken: the session's opening has been answered
	ended   bool // nothing more is put; what is there may be taken
}

// outgoing is a letter, and its message as this session gets it.
type outgoing struct {
	letter
	out *pb.Message
}

// Why a queue takes no letter.
var (
	errQueueFull  = errors.New("the queue is full")
	errQueueEnded = errors.New("the queue has ended")
)

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

// push puts a message of another, for the session that is at this socket.
func (q *queue) push(l letter, s Session) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.ended:
		return errQueueEnded
	case len(q.relay) >= q.limits.RelayQueue || (q.bytes > 0 && q.bytes+l.size > q.limits.RelayBytes):
		return errQueueFull
	}
	q.relay = append(q.relay, outgoing{l, l.towards(s)})
	q.bytes += l.size
	signal(q.wake)
	return nil
}

// adopt puts what has waited for the session in front. It has been bounded where
// it waited.
func (q *queue) adopt(left []letter, s Session) {
	if len(left) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	relay := make([]outgoing, 0, len(left)+len(q.relay))
	for _, l := range left {
		relay = append(relay, outgoing{l, l.towards(s)})
		q.bytes += l.size
	}
	q.relay = append(relay, q.relay...)
	signal(q.wake)
}

// leave gives up what others have sent: the session is on another socket, or
// lost.
func (q *queue) leave() []letter {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := make([]letter, len(q.relay))
	for i, o := range q.relay {
		left[i] = o.letter
	}
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

// batch grows to BatchBytes, or by one message that is larger.
func (q *queue) batch() (batch []*pb.Message, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := 0
	fits := func() bool { return len(batch) < message.MaxFrames && size < q.limits.BatchBytes }
	for len(q.control) > 0 && fits() {
		batch, size = append(batch, q.control[0]), size+codec.Size(q.control[0])
		q.control[0], q.control = nil, q.control[1:]
	}
	if len(batch) > 0 {
		signal(q.room)
	}
	for q.live && len(q.relay) > 0 && fits() {
		o := q.relay[0]
		batch, size = append(batch, o.out), size+o.size
		q.bytes -= o.size
		q.relay[0], q.relay = outgoing{}, q.relay[1:]
	}
	return batch, q.ended
}
