package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// outbox is what goes to the bus: posts, and listener changes and credits, which
// are few and never wait. It outlives the stream.
type outbox struct {
	max  int           // bytes of posts that may wait for the stream
	wake chan struct{} // has a token while there is something to send

	framesRead atomic.Uint64 // frames of the stream that were read

	mu        sync.Mutex
	posts     *ledger
	listeners []*pb.ListenerChange
	credits   map[string]uint32
	epoch     int           // counts the streams; credit for an earlier one is void
	waiting   int           // posters that wait for room
	room      chan struct{} // closed, and made anew, when there may be room again
	closed    bool
}

func newOutbox(limit int, posts *ledger) *outbox {
	return &outbox{
		max: limit, posts: posts, credits: map[string]uint32{},
		wake: make(chan struct{}, 1), room: make(chan struct{}),
	}
}

// post queues one, and waits while there is no room.
func (o *outbox) post(ctx context.Context, e *entry) error {
	for {
		room, err := o.try(e)
		if room == nil {
			return err
		}
		select {
		case <-room:
			o.leave()
		case <-ctx.Done():
			o.leave()
			return fault.New(fault.CodeOf(ctx.Err()), "the bus takes no more for %s at the moment: %w", e.to(), ctx.Err())
		}
	}
}

// try queues a post, or gives what to wait for.
func (o *outbox) try(e *entry) (room chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, errClosed
	}
	if !o.posts.room(e, o.max) {
		o.waiting++
		return o.room, nil
	}
	o.posts.add(e)
	o.signal()
	return nil, nil
}

func (o *outbox) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting--
}

// freed tells those who wait for room to look again.
func (o *outbox) freed() {
	if o.waiting > 0 {
		close(o.room)
		o.room = make(chan struct{})
	}
}

func (o *outbox) change(c *pb.ListenerChange) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.listeners = append(o.listeners, c)
	o.signal()
}

// credit queues the credit for deliveries of the stream that epoch counts.
func (o *outbox) credit(epoch int, listener string, bytes uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if epoch == o.epoch {
		o.credits[listener] += bytes
		o.signal()
	}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// next takes a frame's worth of what waits; nil when there is nothing.
func (o *outbox) next() *pb.AttachRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	req := &pb.AttachRequest{Listeners: o.listeners, Posts: o.posts.take(time.Now())}
	o.listeners = nil
	if len(req.Posts) > 0 {
		o.freed()
	}
	for listener, bytes := range o.credits {
		req.Credits = append(req.Credits, &pb.Credit{Listener: listener, Bytes: bytes})
	}
	clear(o.credits)
	if len(req.Listeners)+len(req.Posts)+len(req.Credits) == 0 {
		return nil
	}
	req.Heard = o.framesRead.Load()
	return req
}

// settle forgets the posts that the bus says are settled.
func (o *outbox) settle(ranges []*pb.Range) {
	if len(ranges) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range ranges {
		o.posts.settle(r.GetFirst(), r.GetLast())
	}
	o.freed()
}

// heard notes the outcome of a post. A refusal settles it, and so does an outcome
// that came for its arrival or its response.
func (o *outbox) heard(e *entry, out *pb.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !e.gone && (out.Code >= int32(fault.BadRequest) || e.post.Wait != pb.Wait_WAIT_ACCEPTED) {
		o.posts.end(e)
		o.freed()
	}
	e.silent = true
}

// drop takes out a post whose caller has given up, so that it is not sent after
// its time, and tells whether it never was.
func (o *outbox) drop(e *entry) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.silent = true
	if !o.posts.drop(e) {
		return false
	}
	o.freed()
	return true
}

// lost tells whether a post has left for a stream, and is not kept.
func (o *outbox) lost(e *entry) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return e.gone
}

// renew makes ready for a new stream: what is kept is queued again. It gives the
// listener changes that the one before did not take.
func (o *outbox) renew() (epoch int, unsaid []*pb.ListenerChange) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.posts.rewind()
	unsaid = o.listeners
	o.listeners = nil
	clear(o.credits)
	o.epoch++
	o.framesRead.Store(0)
	return o.epoch, unsaid
}

// close refuses what is posted from now on.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.freed()
}
