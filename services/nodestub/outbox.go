package nodestub

import (
	"context"
	"sync"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// frameBytes is where a batch stops growing; a longer message goes alone. With what
// stands around its messages it is a frame of HTTP/2.
const frameBytes = 16<<10 - 256

// outbox is the queue of one session, between the listener on the bus and the
// writer of whatever connection there is. Its gate says what becomes of
// messages: held, let out, or refused. One writer at a time takes batches; put
// may be called by several goroutines.
type outbox struct {
	maxMessages, maxBytes int
	metrics               *metrics
	wake                  chan struct{} // has a token when the writer may find something

	mu       sync.Mutex
	queue    []queued
	bytes    int
	inFlight int           // at the head, with the writer
	released bool          // the writer may take
	refusal  *fault.Error  // when set, nothing comes in
	last     bool          // nothing comes in any more, and whoever brings something waits
	room     chan struct{} // closed when a waiting put may try again; nil: none waits
}

// viaRoom is what a message of a flow must leave of the largest size for the address of
// the stub that takes it, in bytes. That one could refuse it too, but not to the flow,
// which would wait for it in vain.
const viaRoom = address.MaxLength + 8

type queued struct {
	codec.Carried
	size int // bytes, encoded
}

func newOutbox(l Limits, m *metrics) *outbox {
	return &outbox{
		maxMessages: l.QueueMessages, maxBytes: l.QueueBytes, metrics: m,
		wake: make(chan struct{}, 1),
	}
}

// put queues a message. A full queue holds the caller back while the session
// is up, and is 429 while it is not; a session that refuses gives its refusal. One that
// no node takes is 413.
func (o *outbox) put(ctx context.Context, m codec.Carried) error {
	q, most := queued{m, m.Size()}, message.MaxSize
	if m.Head().Flow != nil {
		most -= viaRoom
	}
	if q.size > most {
		return fault.New(fault.TooLarge, "message has %d bytes, more than %d", q.size, most)
	}
	for {
		room, err := o.tryPut(q)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return fault.From(ctx.Err())
		}
	}
}

// tryPut gives the channel to wait for when there is no room.
func (o *outbox) tryPut(q queued) (<-chan struct{}, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	full := len(o.queue) >= o.maxMessages || o.bytes+q.size > o.maxBytes && len(o.queue) > 0
	switch {
	case o.refusal != nil:
		return nil, o.refusal
	case o.last, full && o.released:
		if o.room == nil {
			o.room = make(chan struct{})
		}
		return o.room, nil
	case full:
		return nil, fault.New(fault.TooMany, "%d messages wait for the Message Node already", len(o.queue))
	}
	o.queue = append(o.queue, q)
	o.bytes += q.size
	o.metrics.queued(1, q.size)
	o.signal()
	return nil, nil
}

// batch gives what goes out next, in order; nil while there is nothing to send.
// It stays in the queue until sent says that it is gone, and as it is.
func (o *outbox) batch() []queued {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.released || len(o.queue) == 0 {
		return nil
	}
	n, bytes := 1, o.queue[0].size
	for n < len(o.queue) && n < message.MaxFrames && bytes+o.queue[n].size <= frameBytes {
		bytes += o.queue[n].size
		n++
	}
	o.inFlight = n
	return o.queue[:n:n]
}

// sent takes the first n of a batch off the queue. It gives those of the rest
// that are to be refused, because the queue was refused meanwhile.
func (o *outbox) sent(n int) []codec.Carried {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.remove(0, n)
	o.inFlight = 0
	if o.refusal == nil {
		return nil
	}
	return o.drain()
}

// finish lets nothing in any more, so that the queue comes to an end.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = true
	o.retry()
	o.signal()
}

// isFinished tells that all is sent, and nothing more comes.
func (o *outbox) isFinished() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last && len(o.queue) == 0
}

// open lets the queue out; hold keeps it.
func (o *outbox) open() { o.set(true) }
func (o *outbox) hold() { o.set(false) }

func (o *outbox) set(released bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.released, o.refusal = released, nil
	o.retry()
	o.signal()
}

// refuse turns away what comes, and gives what is queued, except for what is
// with the writer.
func (o *outbox) refuse(why *fault.Error) []codec.Carried {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.released, o.refusal = false, why
	drained := o.drain()
	o.retry()
	return drained
}

func (o *outbox) drain() []codec.Carried {
	var drained []codec.Carried
	for _, q := range o.queue[o.inFlight:] {
		drained = append(drained, q.Carried)
	}
	o.remove(o.inFlight, len(o.queue))
	return drained
}

// remove takes queue[from:to] away; either end of it is one of the queue's.
func (o *outbox) remove(from, to int) {
	bytes := 0
	for _, q := range o.queue[from:to] {
		bytes += q.size
	}
	clear(o.queue[from:to])
	if from == 0 {
		o.queue = o.queue[to:]
	} else {
		o.queue = o.queue[:from]
	}
	if len(o.queue) == 0 {
		o.queue = nil
	}
	o.bytes -= bytes
	o.metrics.queued(from-to, -bytes)
	o.retry()
}

func (o *outbox) retry() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
