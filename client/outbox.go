package client

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// outbox is what goes to the bus: posts, and listener changes and credits, which
// are few and never wait. It outlives the stream.
//
// One goroutine at a time writes to the stream: it has the turn. That is the stream's
// writer, or whoever has something to send while nothing else is there (turn.go).
type outbox struct {
	max     int           // bytes of posts that may wait for the stream
	linger  time.Duration // how long a credit waits for company
	wake    chan struct{} // has a token while there is something for the writer to do
	answers atomic.Uint64 // responses that were posted, ever

	mu        sync.Mutex
	posts     *ledger
	listeners []*pb.ListenerChange
	credits   owing
	urgent    bool          // a credit does not wait for company
	told      bool          // the writer will look for something to send
	epoch     int           // counts the streams; credit for an earlier one is void
	waiting   int           // posters that wait for room
	room      chan struct{} // closed, and made anew, when there may be room again
	closed    bool
	turn      turn
	late      late
}

func newOutbox(limits Limits, posts *ledger) *outbox {
	return &outbox{
		max: limits.Outbox, linger: limits.Linger, posts: posts,
		wake: make(chan struct{}, 1), room: make(chan struct{}),
	}
}

// post queues one, and waits while there is no room.
func (o *outbox) post(ctx context.Context, p *posting) error {
	room, err := o.add(p)
	if room == nil {
		return err
	}
	if p.expires {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(p.deadline)) // not the time itself: p would have to be on the heap
		defer cancel()
	}
	for ; room != nil; room, err = o.add(p) {
		select {
		case <-room:
			o.leave()
		case <-ctx.Done():
			o.leave()
			return fault.New(fault.CodeOf(ctx.Err()), "the bus takes no more for %s at the moment: %w", p.content.To(), ctx.Err())
		}
	}
	return err
}

// add queues a post, or gives what to wait for.
func (o *outbox) add(p *posting) (room chan struct{}, err error) {
	room, w, frame, err := o.try(p)
	if frame != nil {
		o.write(w, frame)
	}
	return room, err
}

// try is add, but for a frame that it may give to write.
func (o *outbox) try(p *posting) (room chan struct{}, w *writer, frame *codec.Encoded, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, nil, nil, errClosed
	}
	if err := o.posts.measure(p); err != nil {
		return nil, nil, nil, err
	}
	if !o.posts.room(p, o.max) {
		o.waiting++
		return o.room, nil, nil, nil
	}
	if err := o.posts.add(p); err != nil {
		return nil, nil, nil, fault.New(fault.BadRequest, "the message cannot be encoded: %w", err)
	}
	if p.answers {
		o.answers.Add(1)
	}
	w, frame = o.atOnce()
	return nil, w, frame, nil
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

// signal has the writer look for something to send. Until it has, it is not told again.
func (o *outbox) signal() {
	if o.told {
		return
	}
	o.told = true
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// due tells whether there is something to send.
func (o *outbox) due() bool { return o.urgent || len(o.listeners)+o.posts.waiting > 0 }

// next takes a frame's worth of what waits, for a writer; nil when there is nothing.
func (o *outbox) next(w *writer, now time.Time) *codec.Encoded {
	if !o.due() {
		return nil
	}
	changes := o.takeChanges()
	size := len(changes) + o.posts.most()
	for _, c := range o.credits.all {
		size += codec.MaxCredit(c.listener)
	}
	f := newFrame(size, w)
	f.b = append(f.b, changes...)
	if len(o.listeners) == 0 { // a post is behind the changes that were before it
		o.posts.take(f, now)
		if o.posts.queued <= o.max/2 { // who waits is to find room for many
			o.freed()
		}
	}
	for _, c := range o.credits.all {
		f.credit(c.listener, c.bytes)
	}
	o.forgive()
	return f.encoded()
}

// takeChanges gives a frame's worth of the listener changes, encoded.
func (o *outbox) takeChanges() []byte {
	n := min(len(o.listeners), listenersAFrame)
	if n == 0 {
		return nil
	}
	b, _ := proto.Marshal(&pb.AttachRequest{Listeners: o.listeners[:n]}) // their texts have been checked
	o.listeners = slices.Delete(o.listeners, 0, n)
	return b
}

// settle forgets the posts that the bus says are settled.
func (o *outbox) settle(ranges []codec.Range) {
	if len(ranges) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range ranges {
		o.posts.settle(r.First, r.Last)
	}
	o.freed()
}

// heard notes the outcome of a post. A refusal settles it, and so does an outcome
// that came for its arrival or its response.
func (o *outbox) heard(p *posting, out *pb.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if out.Code < int32(fault.BadRequest) && p.wait == pb.Wait_WAIT_ACCEPTED {
		o.posts.silence(p.number)
	} else if o.posts.end(p.number) {
		o.freed()
	}
}

// drop takes out a post whose caller has given up, so that it is not sent after
// its time, and tells whether it never was.
func (o *outbox) drop(p *posting) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.posts.drop(p.number) {
		o.posts.silence(p.number)
		return false
	}
	o.freed()
	return true
}

// lost tells whether a post has left for a stream, and is not kept.
func (o *outbox) lost(p *posting) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return p.number != 0 && !o.posts.has(p.number)
}

// renew makes ready for a new stream: what is kept is queued again. It gives the
// listener changes that the one before did not take.
func (o *outbox) renew() (epoch int, unsaid []*pb.ListenerChange) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.posts.rewind()
	unsaid = o.listeners
	o.listeners = nil
	o.forgive()
	o.epoch++
	return o.epoch, unsaid
}

// close refuses what is posted from now on.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.late.stop()
	o.freed()
}
