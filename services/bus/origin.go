package bus

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// origin is a client over all the streams that it opens: which of its posts have
// been taken, and which of these are not settled. The client keeps the latter,
// and posts them again on each new stream (Post.again); here they are known by
// their number, and taken once.
//
// A nil origin is that of a stream without: its methods do nothing.
type origin struct {
	origins *origins
	id      []byte
	posting sync.Mutex // held while a post is taken and led on: those of two streams do not mix

	mu      sync.Mutex
	now     *stream     // the one that is attached; nil while there is none
	taken   uint64      // numbers up to here have been taken
	open    openPosts   // of these, those that are not settled
	batches openBatches // likewise, of batches
	failed  *cache[uint64, *pb.Outcome]
	refused uint64      // the last that failed
	forgot  uint64      // up to here, one that failed may not be known any more
	timer   *time.Timer // forgets it, while no stream is attached
}

// identity is what its posts are marked with; none of a nil origin.
func (o *origin) identity() []byte {
	if o == nil {
		return nil
	}
	return o.id
}

// origins is the table of them. Its mutex is taken before an origin's.
type origins struct {
	limits *Limits
	mu     sync.Mutex
	byID   map[string]*origin
}

func newOrigins(l *Limits) *origins { return &origins{limits: l, byID: map[string]*origin{}} }

// attach finds the origin of a stream, or makes it; it has none with an empty id. An
// earlier stream of it that is still there is one that its client has given up:
// it is ended first, and what it has left is there for the new one.
func (t *origins) attach(s *stream, id []byte) error {
	switch {
	case len(id) == 0:
		return nil
	case len(id) > message.MaxOrigin:
		return fault.New(fault.BadRequest, "origin is longer than %d bytes", message.MaxOrigin)
	}
	before, err := t.enter(s, id)
	if before != nil {
		before.cancel(errReplaced)
		<-before.gone
	}
	return err
}

var (
	errReplaced = fault.New(fault.Conflict, "its client has attached anew")
	errMoved    = fault.New(fault.Conflict, "its client has attached to another replica of the bus")
)

// enter makes a stream that of an origin; before is the one that was.
func (t *origins) enter(s *stream, id []byte) (before *stream, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.byID[string(id)]
	if o == nil {
		if len(t.byID) >= t.limits.Origins {
			return nil, fault.New(fault.TooMany, "the bus knows %d clients already", len(t.byID))
		}
		o = &origin{origins: t, id: id, failed: newCache[uint64, *pb.Outcome](t.limits.Refusals)}
		t.byID[string(id)] = o
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s.origin = o // before it is told of anything
	before, o.now = o.now, s
	if o.timer != nil {
		o.timer.Stop()
	}
	return before, nil
}

// detach notes that a stream has ended. The origin is forgotten if none comes
// within Limits.OriginTime.
func (o *origin) detach(s *stream) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now != s {
		return
	}
	o.now = nil
	if o.timer == nil {
		o.timer = time.AfterFunc(o.origins.limits.OriginTime, o.expire)
	} else {
		o.timer.Reset(o.origins.limits.OriginTime)
	}
}

func (o *origin) expire() {
	t := o.origins
	t.mu.Lock()
	defer t.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now == nil {
		delete(t.byID, string(o.id))
	}
}

// end stops the timers, at the end of the bus.
func (t *origins) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.byID {
		o.mu.Lock()
		if o.timer != nil {
			o.timer.Stop()
		}
		o.mu.Unlock()
	}
}

func (t *origins) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// take tells whether a post is to be taken: it has not been before. Of one that
// has, the client is told what became of it.
func (o *origin) take(s *stream, p *post) bool {
	if p.m == nil {
		return true
	}
	p.m.Origin, p.m.Number = o.id, p.number
	if p.encoded != nil {
		p.encoded = codec.AppendOrigin(p.encoded, o.id, p.number)
	}
	fresh, answer, over := o.enter(s, p)
	if !fresh && p.wait == pb.Wait_WAIT_RESPONSE {
		answer = s.bus.answerAgain(p, o.posted(p.number), answer)
	}
	if answer != nil && p.sequence != 0 {
		answer.Sequence = p.sequence
		s.outcome(answer, p.burst)
	}
	if over {
		s.settled(p, nil)
	}
	return fresh
}

// enter notes a post, if it is a fresh one. Of another it gives the outcome as far
// as it is known, and whether it is over.
func (o *origin) enter(s *stream, p *post) (fresh bool, answer *pb.Outcome, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now != s { // its client posts it again, on the stream that it has
		return false, nil, false
	}
	if p.number > o.taken {
		o.taken = p.number
		o.open.add(p.number, p)
		return true, nil, false
	}
	if had := o.batches.get(p.number); had != nil {
		had.asked.Store(s)
		return false, outcomeOf(0, nil), false
	}
	switch had := o.open.get(p.number); {
	case had == nil:
	case had.post.request != nil && had.post.request.moved.Load():
		had.post = p
		return true, nil, false
	default:
		had.post.asked.Store(s)
		return false, had.post.known(), false
	}
	failed, refused := o.failed.get(p.number)
	switch {
	case refused:
		return false, proto.CloneOf(failed), true
	case p.wait == pb.Wait_WAIT_RESPONSE:
		return false, outcomeOf(0, fault.New(fault.Unavailable, "the response was lost with the stream that it came on")), true
	case p.number <= o.forgot:
		return false, outcomeOf(0, fault.New(fault.Unavailable, "what became of the post is no longer known")), true
	}
	return false, outcomeOf(0, nil), true
}

// takeBatch notes a batch of a stream, if all of it is fresh.
func (o *origin) takeBatch(s *stream, b *batch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now != s || b.first <= o.taken {
		return false
	}
	all := b.all()
	o.taken = all.last()
	o.batches.add(all)
	return true
}

// settlePart forgets posts of a batch that were dealt with.
func (o *origin) settlePart(p part) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches.remove(p)
}

// opened notes that those of a batch are posts from now on.
func (o *origin) opened(p part, posts []*post) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches.remove(p)
	for _, one := range posts {
		one.asked.Store(p.of.asked.Load())
	}
	o.open.insert(posts)
}

// settleAll is settle of posts that were dealt with.
func (o *origin) settleAll(posts []*post) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range posts {
		o.forget(p, nil)
	}
}

// posted gives a post that is not settled; nil when it is.
func (o *origin) posted(number uint64) *post {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at := o.open.get(number); at != nil {
		return at.post
	}
	return nil
}

// known is the outcome of a post that is not settled; nil when it is still to come,
// on the stream that its client has then.
func (p *post) known() *pb.Outcome {
	switch {
	case p.wait == pb.Wait_WAIT_DELIVERED && p.told.Load() != nil: // with a stream that has broken, perhaps
		return proto.CloneOf(p.told.Load())
	case p.request == nil && p.wait != pb.Wait_WAIT_DELIVERED && p.taken.Load():
		return outcomeOf(0, nil)
	}
	return nil
}

// settle forgets a post, unless it was refused: that is told again when the
// client asks.
func (o *origin) settle(p *post, err error) {
	if o == nil || p.number == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(p, err)
}

// forget is settle with the origin locked.
func (o *origin) forget(p *post, err error) {
	o.open.remove(p.number)
	if err == nil {
		return
	}
	if o.failed.len() >= o.origins.limits.Refusals {
		o.forgot = o.refused
	}
	o.refused = max(o.refused, p.number)
	o.failed.put(p.number, outcomeOf(0, err))
}

// current is the stream that is attached now, if it is another one.
func (o *origin) current(not *stream) *stream {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now == not {
		return nil
	}
	return o.now
}

// outcome hands an outcome to the stream that came after one that is over.
func (o *origin) outcome(not *stream, out *pb.Outcome) {
	if s := o.current(not); s != nil {
		s.outcome(out, nil)
	}
}

// settling are the numbers of settled posts that a stream has not been told. They
// are told with the next frame, and a frame is made for them when they are many
// or a little time has passed. The stream's mutex guards it.
type settling struct {
	ranges []codec.Range
	count  int
	bytes  int
	timer  *time.Timer
}

// settleSoon is how long a client may have to wait for it, and settleMany and settleBytes
// how many are told at once: it only keeps what it need not until then, which is little of
// what it may keep.
const (
	settleSoon  = 5 * time.Millisecond
	settleMany  = 256
	settleBytes = 256 << 10
)

// add adds posts with the numbers from first to last, of so many bytes together.
func (t *settling) add(first, last uint64, bytes int, s *stream) {
	if end := len(t.ranges) - 1; end >= 0 && t.ranges[end].Last+1 == first {
		t.ranges[end].Last = last
	} else {
		t.ranges = append(t.ranges, codec.Range{First: first, Last: last})
	}
	before := t.count
	t.count += int(last - first + 1) // at most a frame
	t.bytes += bytes
	switch {
	case t.count >= settleMany, t.bytes >= settleBytes:
		s.signal()
	case before > 0, s.outcomes.len() > 0: // an outcome goes at once, and these with it
	case t.timer == nil:
		t.timer = time.AfterFunc(settleSoon, s.signal)
	default:
		t.timer.Reset(settleSoon)
	}
}

func (t *settling) take() []*pb.Range {
	if t.count == 0 {
		return nil
	}
	ranges := merged(t.ranges)
	if t.ranges, t.count, t.bytes = t.ranges[:0], 0, 0; cap(t.ranges) > keepSettled {
		t.ranges = nil
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	return ranges
}

// merged gives ranges in order, those that touch as one: what goes to several listeners in
// turn is settled listener by listener.
func merged(ranges []codec.Range) []*pb.Range {
	slices.SortFunc(ranges, func(a, b codec.Range) int { return cmp.Compare(a.First, b.First) })
	n := 0
	for _, r := range ranges[1:] {
		if last := &ranges[n]; r.First == last.Last+1 {
			last.Last = r.Last
			continue
		}
		n++
		ranges[n] = r
	}
	all, made := make([]*pb.Range, n+1), make([]pb.Range, n+1)
	for i, r := range ranges[:n+1] {
		made[i].First, made[i].Last = r.First, r.Last
		all[i] = &made[i]
	}
	return all
}

// settled tells the client that it need not keep a post any more; on another stream only
// if it has posted it there again: its outcome may have been lost with the stream before,
// and it asks for it so.
func (s *stream) settled(p *post, err error) {
	if p.number == 0 {
		return
	}
	s.origin.settle(p, err)
	s.mu.Lock()
	if !s.closed {
		s.settling.add(p.number, p.number, p.size, s)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	if next := s.origin.current(s); next != nil && next == p.asked.Load() {
		next.settled(p, err)
	}
}

// settledAll is settled of numbered posts that were dealt with.
func (s *stream) settledAll(posts []*post) {
	if len(posts) == 0 {
		return
	}
	s.origin.settleAll(posts)
	s.mu.Lock()
	closed := s.closed
	for _, p := range posts {
		if !closed {
			s.settling.add(p.number, p.number, p.size, s)
		}
	}
	s.mu.Unlock()
	if closed {
		for _, p := range posts {
			s.settled(p, nil)
		}
	}
}
