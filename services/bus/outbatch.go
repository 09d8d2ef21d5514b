package bus

import (
	"math"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// Plain posts of a frame to another runtime are a batch in their flow: the machine keeps
// them as one as long as the same happens to all of them. The bytes of a batch are a row, or
// long messages. Each transmission of some of them is a batch of its own: a row that is in the
// flow, for a stub that takes it, or deliveries with the flow behind each message. The queue
// of a stub has it like any other one.
//
//	frame ─▶ batch 1–8 ─▶ flow: 41–48 ─▶ transmission 41–46 ─▶ queue of a stub
//	                            47–48 wait for the window
//	         1–5 settled ◀── ack of 41–45

// outgoingBatch is what a batch has besides for a flow to another runtime, whose lock
// guards it.
type outgoingBatch struct {
	to, lane string // of all its posts
	over     uint64 // those that are settled, a bit each
	left     int    // bytes of the others
}

// outBatch makes a batch of the posts of a run for a flow.
func (s *stream) outBatch(req *codec.Request, run *codec.Run) *batch {
	b, id := newBatch(run.Len(), run.First), s.origin.id
	b.by, b.burst = s, &s.burst
	if run.Size() < batchLong*run.Len() {
		b.takeRow(req, run, id)
		b.out.left = b.all().size()
		return b
	}
	bytes := b.room(run.Size() + run.Len()*codec.OriginSize(id, math.MaxUint64))
	posts := req.Plain(run)
	for i := range posts {
		bytes = codec.AppendOrigin(run.AppendMessage(bytes, &posts[i]), id, run.First+uint64(i)) // not negative
		b.places = append(b.places, placed{len(bytes), len(bytes)})
	}
	b.bytes, b.out.left = bytes, len(bytes)
	return b
}

// outBytes is how large the messages of a batch for a flow are at most, together: a long one
// stays where it is, as a post.
const outBytes = 32 << 10

// takeOut takes a run together that goes to another runtime in a flow. The table is locked.
func (t *table) takeOut(s *stream, req *codec.Request, run *codec.Run) bool {
	if run.Len() < batchFrom || run.Size() > outBytes {
		return false
	}
	r := t.routes.get(run.To)
	if r == nil || r.has(routePlaced) || !r.has(routeFresh) {
		return false
	}
	o := t.flows.to(run.Type, run.To, t.routes.destination(r))
	if o == nil || !s.burst.addFlow(o) {
		return false
	}
	b := s.outBatch(req, run)
	if !s.takeBatch(b) {
		b.drop()
		return false
	}
	s.metrics.postedBy[s.comp].Add(float64(run.Len()))
	t.metrics.tally.messages[outNone].accepted.Add(float64(o.offerBatch(b, run)))
	return true
}

// Len is of flow.Several.
func (b *batch) Len() int { return len(b.places) }

// Size is of flow.Several.
func (b *batch) Size(from, to int) int { return part{b, from, to}.cost() }

func (b *batch) item() flow.Item { return flow.Item{Address: b.out.to, Lane: b.out.lane, Value: b} }

// offerBatch takes a batch into the flow, or lets what has no room wait for it. It gives
// how many were taken.
func (o *outflow) offerBatch(b *batch, run *codec.Run) (taken int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.used = now
	o.lane.be(run.From, run.To)
	b.out.to, b.out.lane = o.lane.to, o.lane.name
	all := item{part: b.all()}
	if o.blocked[b.out.to] == 0 {
		in, _ := o.enter(&all, now)
		taken = in.count()
	}
	if all.count() > 0 {
		o.await(all, now)
	}
	return taken
}

// settled notes that some of a batch in a flow is settled. When the memory is mostly that of
// these, the rest gets less: however the other runtime acks, what it does not ack costs
// about what it counts for.
func (p part) settled() {
	b := p.of
	b.out.left -= p.size()
	b.out.over |= (1<<p.len() - 1) << p.from
	if 0 < b.out.left && 4*b.out.left+overhead < cap(*b.memory) {
		b.shrink()
	}
}

// shrink moves what is not settled into memory that it fills.
func (b *batch) shrink() {
	old, size := b.memory, len(b.row.Front)+len(b.row.Back)
	for i := range b.places {
		if b.out.over&(1<<i) == 0 {
			size += len(part{b, i, i + 1}.encoded())
		}
	}
	bytes := make([]byte, 0, size)
	if b.inRow() {
		bytes, b.row = b.row.In(bytes, b.row.Flow)
	}
	from, begin := len(bytes), 0
	for i := range b.places {
		end := b.places[i].end
		if b.out.over&(1<<i) == 0 {
			bytes = append(bytes, b.bytes[begin:end]...)
		}
		b.places[i].end, begin = len(bytes)-from, end
	}
	b.memory, b.bytes = &bytes, bytes[from:]
	codec.Buffers.Put(old)
}

// passing makes a transmission of a batch, for a listener: a row, if it takes one and nothing but
// its place goes along.
func (o *outflow) passing(tx flow.Transmission, acks []*pb.FlowAck, to *inbox) *batch {
	of, _ := tx.Value.(*batch)
	p := part{of, tx.From, tx.From + tx.Count}
	b := newBatch(p.len(), p.first())
	b.by, b.burst, b.passes = of.by, of.burst, true
	if of.inRow() && to.stream.rows && len(acks) == 0 && tx.Receiver == 0 {
		b.passRow(p, codec.RowFlow{Name: o.flowName(), Number: p.first(), At: placeOf(tx, 0, nil)})
	} else {
		b.passWhole(p, o.flowName(), tx, acks, to.name)
	}
	return b
}

func (b *batch) passRow(p part, in codec.RowFlow) {
	row, own := &p.of.row, p.encoded()
	bytes, heading := row.In(b.room(len(row.Front)+len(row.Back)+len(own)), in)
	b.row, b.bytes = heading, append(bytes, own...)[len(bytes):]
	before, sum := p.of.before(p.from), 0
	for i, at := range p.of.places[p.from:p.to] {
		sum += in.Size(p.first() + uint64(i)) // not negative
		b.places = append(b.places, placed{at.end - before.end, at.sum - before.sum + sum})
	}
}

func (b *batch) passWhole(p part, name codec.FlowName, tx flow.Transmission, acks []*pb.FlowAck, listener string) {
	bytes, size, sum := b.room(p.len()*codec.MaxPassing(listener, name)+p.size()+codec.SizeOfAcks(acks)), 0, 0
	var one []byte
	for i := range p.len() {
		one = p.appendMessage(one[:0], i)
		bytes, size = codec.AppendPassing(bytes, listener, one, name, placeOf(tx, i, acks))
		sum += size
		b.places = append(b.places, placed{len(bytes), sum})
	}
	b.bytes = bytes
}

// pass puts a transmission of a batch into an inbox, and gives how many of it were taken.
func (o *outflow) pass(tx flow.Transmission, acks []*pb.FlowAck, in *inbox) int {
	if in.passesBatches() {
		return in.offerPassing(o.passing(tx, acks, in), o)
	}
	of, _ := tx.Value.(*batch)
	p := part{of, tx.From, tx.From + tx.Count}
	for i := range p.len() {
		encoded := p.appendMessage(nil, i)
		m := &pb.Message{}
		_ = codec.UnmarshalShared(encoded, m) // it has been read before
		one := o.made()
		one.m, one.encoded, one.burst = m, encoded, of.burst
		one.tail = o.tail(placeOf(tx, i, acks))
		one.size = len(one.encoded) + len(one.tail)
		if !in.offerFlow(one, o) {
			return i
		}
	}
	return p.len()
}

// placeOf is that of the i-th message of a transmission.
func placeOf(tx flow.Transmission, i int, acks []*pb.FlowAck) codec.FlowPlace {
	at := codec.FlowPlace{Sequence: tx.Sequence + uint64(i), Base: tx.Base, Receiver: tx.Receiver} // not negative
	if i == 0 {
		at.After, at.Acks = tx.After, acks
	}
	return at
}

// passesBatches tells whether what goes in a flow may come in batches: to a stub of this
// replica that gives credit.
func (in *inbox) passesBatches() bool {
	return in.stream.peer == "" && in.window != unlimited && len(in.name) <= longestName
}

// offerPassing is offerFlow of a batch: it gives how many of its messages were taken.
func (in *inbox) offerPassing(b *batch, f *outflow) (taken int) {
	s, n := in.stream, b.Len()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !in.closed && in.overflow.len() == 0 {
		taken = in.roomFor(b.all())
	}
	if taken > 0 {
		in.push(item{part: part{b, 0, taken}})
	}
	if taken < n {
		in.starve(f)
		b.free(n - taken)
	}
	return taken
}

// roomFor is how many of the first of a part the queue takes.
func (in *inbox) roomFor(p part) int {
	l := in.stream.limits
	p.to = min(p.to, p.from+max(l.QueueMessages-in.messages, 0))
	n := p.upTo(l.QueueBytes - in.bytes)
	if n == 0 && in.messages == 0 {
		return 1
	}
	return n
}

// fate is what became of something in a flow: it was dealt with, or refused.
type fate struct {
	item
	ways flow.Path // of a part
	why  error
}

// fates are those of what a flow gives back; its lock is held. What is refused of a batch
// becomes posts.
func fates(settled []flow.Settled) []fate {
	all := make([]fate, 0, len(settled))
	for _, s := range settled {
		var why error
		if s.Code >= int32(fault.BadRequest) {
			why = refuse(reasonRemote, fault.Code(s.Code), "%s", s.Description)
		}
		p, b := settledItem(s)
		if p != nil {
			all = append(all, fate{item: item{post: p}, why: why})
			continue
		}
		if why == nil {
			b.settled()
			all = append(all, fate{item: item{part: b}, ways: s.Ways})
			continue
		}
		for _, p := range openSettled(b, s.Ways) {
			all = append(all, fate{item: item{post: p}, why: why})
		}
	}
	return all
}

// settledItem is what a flow gives back: a post, or some of a batch.
func settledItem(s flow.Settled) (*post, part) {
	if b, ok := s.Value.(*batch); ok {
		return nil, part{b, s.From, s.From + s.Count}
	}
	return s.Value.(*post), part{}
}

// openSettled makes posts of what a flow gives back of a batch.
func openSettled(p part, ways flow.Path) []*post {
	p.of.needed.Add(1)
	posts := p.open(true, uint32(ways))
	p.settled()
	p.of.free(1)
	return posts
}

// courseOf is the course of what went some ways.
func courseOf(ways flow.Path) course {
	switch ways {
	case flow.Both:
		return outBoth
	case flow.Direct:
		return outDirect
	case flow.Relay:
		return outRelay
	}
	return outNone
}
