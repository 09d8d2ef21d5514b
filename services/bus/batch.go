package bus

import (
	"sync"
	"sync/atomic"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// batch is plain posts of one frame, from one sender to one listener of this runtime, or
// messages of one flow (inbatch.go). They are taken, queued, sent and settled together, as
// what a frame of the listener's stream has of them: a row (codec.Heading). Where one
// of them needs more than that, what is left of the batch becomes posts (part.open).
//
//	frame: 1 2 3 4 5 6 7 8 ──▶ batch 1–8 ──▶ queue ──▶ sent 1–5, queue 6–8 ──▶ credit for 1–3
//
// Posts to an address in another runtime are a batch as well (outbatch.go).
type batch struct {
	by     batcher
	burst  *burst // of the frame
	course course
	first  uint64        // number of the first; those behind it rise by one
	memory *[]byte       // of Buffers
	bytes  []byte        // of the sequels, one behind the other, in it; or of whole deliveries, or messages
	row    codec.Heading // of the sequels; else empty
	lent   bool          // the memory is that of the request, until it gives it away
	places []placed
	out    outgoingBatch
	passes bool // it is a transmission of a flow, which has the posts

	needed atomic.Int32           // posts that are not settled, and frames that are being sent
	asked  atomic.Pointer[stream] // on which its client has posted some of it again

	arrivals arrivals // by, of messages of a flow

	short *shortBatch // that it is in; nil of a long one
}

// shortBatch is one of few posts with the memory that they take mostly: what waits is to take
// about what it counts for (overhead).
type shortBatch struct {
	batch
	few  [8]placed
	room [384]byte
	used []byte // of room
}

// batcher is who posts batches: the stream of a client, or a flow from another runtime.
type batcher interface {
	poster
	// takeBatch notes a batch, if all of it is fresh.
	takeBatch(b *batch) bool
	// settledPart is settled of posts of a batch that were dealt with.
	settledPart(p part)
	// opens makes posts its own, which those of a part have become.
	opens(p part, posts []*post)
}

// placed is where a post of a batch ends: in the bytes of the deliveries, where its message
// is the last of it, and in the sum of the sizes of the messages, by which credit is counted.
type placed struct{ end, sum int }

// A batch is of at least so many posts, or bytes.
const (
	batchFrom = 2
	batchLong = 2 << 10
)

// isBatch tells whether a run is enough for one.
func isBatch(run *codec.Run) bool { return run.Len() >= batchFrom || run.Size() >= batchLong }

var (
	batches = sync.Pool{New: func() any { return new(batch) }}
	shorts  = sync.Pool{New: func() any {
		s := new(shortBatch)
		s.short, s.places = s, s.few[:0]
		return &s.batch
	}}
)

// newBatch makes a batch of n posts, whose deliveries are to be added.
func newBatch(n int, first uint64) *batch {
	pool := &batches
	if n <= len(shortBatch{}.few) {
		pool = &shorts
	}
	b, _ := pool.Get().(*batch)
	b.first, b.places = first, b.places[:0]
	b.needed.Store(int32(n)) // at most a frame
	return b
}

// room gives memory for deliveries, which have so many bytes at most.
func (b *batch) room(size int) []byte {
	if s := b.short; s != nil && size <= len(s.room) {
		s.used = s.room[:0:size]
		b.memory = &s.used
		return s.used
	}
	b.memory = codec.Buffers.Get(size)
	return (*b.memory)[:0]
}

// postedBatch makes a batch of the posts of a run, for a listener of that name. A long one
// may stay in the memory of its frame, which is the request's until it is given away.
func (s *stream) postedBatch(listener string, req *codec.Request, run *codec.Run) *batch {
	b, id := newBatch(run.Len(), run.First), s.origin.id
	b.by, b.burst, b.course = s, &s.burst, outLocal
	if b.memory, b.bytes = req.InPlace(run, listener, id); b.memory != nil {
		b.lent = true
		b.places = append(b.places, placed{len(b.bytes), run.Size() + codec.OriginSize(id, run.First)})
		return b
	}
	b.takeRun(listener, req, run, id)
	return b
}

// takeRun takes the messages of a run, of posts with whose they are, for a listener of that name.
func (b *batch) takeRun(listener string, req *codec.Request, run *codec.Run, origin []byte) {
	if run.Size() < batchLong*run.Len() {
		b.takeRow(req, run, origin)
	} else {
		b.takeLong(listener, req, run, origin)
	}
}

// takeRow is takeRun of short messages, which are a row.
func (b *batch) takeRow(req *codec.Request, run *codec.Run, origin []byte) {
	posts, heading := req.Plain(run), run.HeadingSize(origin)
	end, sum := 0, 0
	for i := range posts {
		size, own := posts[i].SequelSize()
		end += size
		sum += own + heading + codec.NumberSize(b.first+uint64(i)) // not negative
		b.places = append(b.places, placed{end, sum})
	}
	b.bytes, b.row = run.AppendHeading(b.room(heading+end), origin)
	b.bytes = codec.AppendSequels(b.bytes, posts)[heading:]
}

// takeLong is takeRun of long messages: they are whole deliveries, which gRPC reads where they are.
func (b *batch) takeLong(listener string, req *codec.Request, run *codec.Run, origin []byte) {
	posts, heading := req.Plain(run), run.HeadingSize(origin)
	size := heading
	for i := range posts {
		size += heading + codec.MaxDelivery(listener) + len(posts[i].ID) + len(posts[i].Body)
	}
	bytes, row := run.AppendHeading(b.room(size), origin)
	sum := 0
	for i := range posts {
		number := b.first + uint64(i) // not negative
		bytes = row.AppendWhole(bytes, listener, &posts[i], number)
		sum += row.Size(&posts[i], number)
		b.places = append(b.places, placed{len(bytes) - heading, sum})
	}
	b.bytes = bytes[heading:]
}

// inRow tells whether its bytes are those of sequels.
func (b *batch) inRow() bool { return b.row.Front != nil }

func (b *batch) all() part { return part{b, 0, len(b.places)} }

// before is where the i-th post begins.
func (b *batch) before(i int) placed {
	if i == 0 {
		return placed{}
	}
	return b.places[i-1]
}

// sumBefore is before of the sizes alone, which nobody changes: what is settled of a batch is
// counted while the rest moves (shrink).
func (b *batch) sumBefore(i int) int {
	if i == 0 {
		return 0
	}
	return b.places[i-1].sum
}

// free notes that n posts are settled, or a frame is sent. The last gives the memory back,
// if it is the batch's.
func (b *batch) free(n int) {
	if b.needed.Add(int32(-n)) > 0 { // at most a frame
		return
	}
	if b.memory != nil {
		codec.Buffers.Put(b.memory)
	}
	b.by, b.burst, b.memory, b.bytes, b.lent, b.arrivals = nil, nil, nil, nil, false, arrivals{}
	b.out, b.passes, b.row = outgoingBatch{}, false, codec.Heading{}
	b.asked.Store(nil)
	if b.short != nil {
		shorts.Put(b)
	} else {
		batches.Put(b)
	}
}

// drop is for one that was not taken: it gives back no memory that is lent.
func (b *batch) drop() {
	if b.lent {
		b.memory = nil
	}
	b.free(len(b.places))
}

// Sent is of codec.Owner: a frame is sent that has some of it.
func (b *batch) Sent() { b.free(1) }

// part is posts of a batch that follow each other. The zero value is of none.
type part struct {
	of       *batch
	from, to int
}

func (p part) len() int { return p.to - p.from }

// size is that of its messages, in bytes.
func (p part) size() int { return p.of.sumBefore(p.to) - p.of.sumBefore(p.from) }

func (p part) cost() int { return p.size() + p.len()*overhead }

// first and last are the numbers of its posts.
func (p part) first() uint64 { return p.of.first + uint64(p.from) }   // not negative
func (p part) last() uint64  { return p.of.first + uint64(p.to) - 1 } // likewise

// encoded are its bytes.
func (p part) encoded() []byte {
	return p.of.bytes[p.of.before(p.from).end:p.of.before(p.to).end]
}

// sizeInFrame is what it takes of a frame for a listener, in bytes; of whole messages about
// that, as of posts.
func (p part) sizeInFrame(to *inbox) int {
	if p.of.inRow() && to.takesRow(p) {
		return len(p.encoded()) + p.of.row.FrontSize(to.name)
	}
	return p.size() + p.len()*len(to.name)
}

// takesRow tells whether some of a row goes to a listener as such.
func (in *inbox) takesRow(p part) bool { return in.stream.sequels || p.of.passes }

// upTo takes the first posts off whose messages have so many bytes at most, and gives how
// many they are.
func (p part) upTo(bytes int) (n int) {
	begin := p.of.before(p.from).sum
	if p.of.before(p.to).sum-begin <= bytes {
		return p.len()
	}
	for n < p.len() && p.of.places[p.from+n].sum-begin <= bytes {
		n++
	}
	return n
}

// head are its first n posts.
func (p part) head(n int) part { return part{p.of, p.from, p.from + n} }

// cut takes n posts off its beginning.
func (p *part) cut(n int) part {
	head := p.head(n)
	p.from += n
	return head
}

// appendMessage appends the bytes of the i-th message.
func (p part) appendMessage(b []byte, i int) []byte {
	if one := (part{p.of, p.from + i, p.from + i + 1}); p.of.inRow() {
		return p.of.row.AppendMessage(b, one.encoded(), one.first())
	}
	return append(b, p.message(i)...)
}

// message are the bytes of the i-th message of one that has whole ones.
func (p part) message(i int) []byte {
	at := p.of.places[p.from+i]
	return p.of.bytes[at.end-at.sum+p.of.before(p.from+i).sum : at.end]
}

// open makes each a post for one listener or flow, which has taken it and not dealt with
// it, or has not taken it yet. The batch has them no more.
func (p part) open(taken bool, paths uint32) []*post {
	posts := make([]post, p.len())
	all := make([]*post, len(posts))
	for i := range posts {
		one := &posts[i]
		all[i] = one
		one.encoded = p.appendMessage(nil, i)
		one.m, one.size = &pb.Message{}, len(one.encoded)
		_ = codec.UnmarshalShared(one.encoded, one.m) // it has been read before
		one.verified = true
		one.owed.Store(1)
		if taken {
			one.taken.Store(true)
			one.trail.paths.Store(paths)
			one.trail.taken.Store(true)
		} else {
			one.left.Store(1)
		}
	}
	p.of.by.opens(p, all)
	p.of.free(p.len())
	return all
}

// item is what stands in a queue: a post, or some of a batch.
type item struct {
	post *post
	part part
}

func (i *item) count() int {
	if i.post != nil {
		return 1
	}
	return i.part.len()
}

// firstSize is that of the first message.
func (i *item) firstSize() int {
	if i.post != nil {
		return i.post.size
	}
	return part{i.part.of, i.part.from, i.part.from + 1}.size()
}

func (i *item) size() int {
	if i.post != nil {
		return i.post.size
	}
	return i.part.size()
}

func (i *item) cost() int { return i.size() + i.count()*overhead }

func (i *item) to() string {
	if i.post != nil {
		return i.post.m.To
	}
	return i.part.of.out.to
}

func (i *item) by() poster {
	if i.post != nil {
		return i.post.by
	}
	return i.part.of.by
}

func (i *item) burst() *burst {
	if i.post != nil {
		return i.post.burst
	}
	return i.part.of.burst
}

// posts are those that it is, or becomes: which its listener has taken, or not. Those that
// pass in a flow stay with that.
func (i *item) posts(taken bool) []*post {
	switch {
	case i.post != nil:
		return []*post{i.post}
	case i.part.of.passes:
		i.part.of.free(i.part.len())
		return nil
	}
	return i.part.open(taken, hereabouts)
}
