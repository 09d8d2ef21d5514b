package msgnode

import (
	"context"
	"errors"
	"slices"
	"sync"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// queue is what waits for a socket: answers of the node, and what others send.
// Answers go first and have a bound of their own, so that a flood of messages
// never holds up the session itself. Any goroutine may put. One takes, for as long
// as there is something: it is started with the first, as most sockets are idle.
//
//	          put              take
//	no taker ─────► a taker ─────────► a taker …  there is more
//	    ▲                       └────► no taker   there is nothing, or all is over
//	    └──────────────────────────────────┘
type queue struct {
	limits *Limits
	start  func() // starts the taker; must not block

	mu      sync.Mutex
	room    chan struct{} // closed when there is room for an answer; nil: nobody waits
	control []*pb.Message
	relay   []outgoing
	bytes   int    // of relay
	runtime string // that relay is for: there is one session at a time at a socket
	live    bool   // relay may be taken: the session's opening has been answered
	ended   bool   // nothing more is put; what is there may be taken
	taking  bool   // there is a taker
}

// outgoing is a letter, and its message as this session gets it.
type outgoing struct {
	letter
	out codec.Carried
}

// batch is what is sent at once: answers, and behind them what others have sent.
type batch struct {
	codec.Messages
	relayed int    // how many others have sent, to
	runtime string // whose session is at the socket
}

// Why a queue takes no letter.
var (
	errQueueFull  = errors.New("the queue is full")
	errQueueEnded = errors.New("the queue has ended")
)

func newQueue(l *Limits, start func()) *queue { return &queue{limits: l, start: start} }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// look starts the taker if there is something for it, and it is not there. It is called
// with mu held.
func (q *queue) look() {
	if !q.taking && (q.ended || len(q.control) > 0 || q.live && len(q.relay) > 0) {
		q.taking = true
		q.start()
	}
}

// offer puts an answer, unless the bound is reached.
func (q *queue) offer(m *pb.Message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.offered(m)
}

// offered is called with mu held.
func (q *queue) offered(m *pb.Message) bool {
	if q.ended || len(q.control) >= q.limits.ControlQueue {
		return false
	}
	q.control = append(q.control, m)
	q.look()
	return true
}

// answer puts an answer, and waits for room: it is for the goroutine that reads
// the socket, so that a client which takes no answers is not read.
func (q *queue) answer(ctx context.Context, m *pb.Message) {
	for {
		room := q.tryAnswer(m)
		if room == nil {
			return
		}
		select {
		case <-room:
		case <-ctx.Done():
			return
		}
	}
}

// tryAnswer gives what to wait for when there is no room. Behind the end there is none
// any more.
func (q *queue) tryAnswer(m *pb.Message) (room <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.offered(m) {
		return nil
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room
}

// push puts messages of another, for the session that is at this socket. It gives the
// places of those that it does not take, and why.
func (q *queue) push(letters []letter, s Session) (over []int, why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.runtime = s.Runtime
	q.relay = slices.Grow(q.relay, len(letters))
	for i, l := range letters {
		if err := q.takes(l); err != nil {
			over, why = append(over, i), err
			continue
		}
		q.relay = append(q.relay, outgoing{l, l.towards(s)})
		q.bytes += l.size
	}
	q.look()
	return over, why
}

func (q *queue) takes(l letter) error {
	switch {
	case q.ended:
		return errQueueEnded
	case len(q.relay) >= q.limits.RelayQueue || (q.bytes > 0 && q.bytes+l.size > q.limits.RelayBytes):
		return errQueueFull
	}
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
	q.relay, q.runtime = append(relay, q.relay...), s.Runtime
	q.look()
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
	q.look()
}

// end lets the taker finish with what is there.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.look()
}

// take gives a batch to send. Without one the taker is dismissed; over tells that no
// other one comes.
func (q *queue) take() (b batch, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b = q.batch(); len(b.Messages) > 0 {
		return b, false
	}
	if len(q.relay) == 0 { // an idle one keeps nothing of when it was busy
		q.relay = nil
	}
	q.control, q.taking = nil, q.ended
	return batch{}, q.ended
}

// batch grows to BatchBytes, or is one message that is larger.
func (q *queue) batch() batch {
	b, size := batch{runtime: q.runtime}, 0
	add := func(c codec.Carried) bool {
		more := c.SizeInFrame()
		if len(b.Messages) == message.MaxFrames || len(b.Messages) > 0 && size+more > q.limits.BatchBytes {
			return false
		}
		if b.Messages == nil {
			b.Messages = make(codec.Messages, 0, min(message.MaxFrames, len(q.control)+len(q.relay)))
		}
		b.Messages, size = append(b.Messages, c), size+more
		return true
	}
	for len(q.control) > 0 && add(codec.Bare(q.control[0])) {
		q.control[0], q.control = nil, q.control[1:]
	}
	if len(b.Messages) > 0 && q.room != nil {
		close(q.room)
		q.room = nil
	}
	for q.live && len(q.relay) > 0 && add(q.relay[0].out) {
		q.bytes -= q.relay[0].size
		q.relay[0], q.relay = outgoing{}, q.relay[1:]
		b.relayed++
	}
	return b
}
