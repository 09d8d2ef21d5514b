package client

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// outbox is what waits for the stream: posts, bounded in bytes, and listener
// changes and credits, which are few and never wait. It outlives the stream.
type outbox struct {
	mu        sync.Mutex
	posts     []*pb.Post
	bytes     int
	max       int
	listeners []*pb.ListenerChange
	credits   map[string]uint32
	wake      chan struct{} // has a token while there is something to send
	room      chan struct{} // closed, and made anew, when there is room again
}

func newOutbox(limit int) *outbox {
	return &outbox{max: limit, credits: map[string]uint32{}, wake: make(chan struct{}, 1), room: make(chan struct{})}
}

// post queues one, and waits while there is no room. A post larger than the
// whole outbox goes when it is alone.
func (o *outbox) post(ctx context.Context, p *pb.Post) error {
	size := proto.Size(p)
	for {
		o.mu.Lock()
		if o.bytes == 0 || o.bytes+size <= o.max {
			o.posts = append(o.posts, p)
			o.bytes += size
			o.mu.Unlock()
			o.signal()
			return nil
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return fault.From(ctx.Err())
		}
	}
}

func (o *outbox) change(c *pb.ListenerChange) {
	o.mu.Lock()
	o.listeners = append(o.listeners, c)
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) credit(listener string, bytes uint32) {
	o.mu.Lock()
	o.credits[listener] += bytes
	o.mu.Unlock()
	o.signal()
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
	req := &pb.AttachRequest{Listeners: o.listeners, Posts: o.takePosts()}
	o.listeners = nil
	for listener, bytes := range o.credits {
		req.Credits = append(req.Credits, &pb.Credit{Listener: listener, Bytes: bytes})
	}
	clear(o.credits)
	if len(req.Listeners)+len(req.Posts)+len(req.Credits) == 0 {
		return nil
	}
	return req
}

func (o *outbox) takePosts() []*pb.Post {
	n, bytes := 0, 0
	for n < len(o.posts) && n < message.MaxFrames {
		size := proto.Size(o.posts[n])
		if n > 0 && bytes+size > frameBytes {
			break
		}
		bytes += size
		n++
	}
	if n == 0 {
		return nil
	}
	taken := o.posts[:n:n]
	o.posts = o.posts[n:]
	if len(o.posts) == 0 {
		o.posts = nil
	}
	o.bytes -= bytes
	close(o.room)
	o.room = make(chan struct{})
	return taken
}

// drop takes out the post with a sequence number whose caller has given up, so
// that it is not sent after its time; it tells whether it was still there.
func (o *outbox) drop(sequence uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, p := range o.posts {
		if p.Sequence == sequence {
			o.posts = append(o.posts[:i:i], o.posts[i+1:]...)
			o.bytes -= proto.Size(p)
			close(o.room)
			o.room = make(chan struct{})
			return true
		}
	}
	return false
}

// renew forgets what belonged to a stream that is over, and gives the listener
// changes that it did not take.
func (o *outbox) renew() []*pb.ListenerChange {
	o.mu.Lock()
	defer o.mu.Unlock()
	unsaid := o.listeners
	o.listeners = nil
	clear(o.credits)
	return unsaid
}

// queued gives the sequence numbers of the posts that wait.
func (o *outbox) queued() map[uint64]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	queued := make(map[uint64]bool, len(o.posts))
	for _, p := range o.posts {
		queued[p.Sequence] = true
	}
	return queued
}
