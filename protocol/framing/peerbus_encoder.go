package framing

import (
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// Field numbers of pb.Frame, which is written piece by piece so that a packet
// is filled without encoding it twice.
const (
	frameMessages  = 1
	frameFragment  = 2
	frameCancelled = 3
	frameConsumed  = 4
	frameSequels   = 5
	frameRows      = 6
)

// fragmentOverhead bounds what pb.Fragment and pb.Frame add to a piece.
const fragmentOverhead = 48

// lane is what order is kept in: a long message holds up the ones behind it
// from the same sender to the same receiver, and no others.
type lane struct{ from, to string }

func laneOf(m codec.Carried) lane { return lane{m.Head().From, m.Head().To} }

type shortMessage struct {
	codec.Carried
	size int
}

// outbound is a long message on its way out.
type outbound struct {
	message codec.Carried
	size    int
	number  uint64 // set with data, once its turn has come
	data    []byte
	offset  int
	behind  []codec.Carried // of the same lane
	after   uint64          // short messages that were there before it
}

type peerBusEncoder struct {
	limits    Limits
	longest   int      // bytes of a packet
	packet    int      // bytes of one now
	sequels   *sequels // nil: the peer does not take them
	rows      bool     // the peer takes them
	short     []shortMessage
	long      []*outbound // the first Limits.Interleaved take turns
	lanes     map[lane]*outbound
	turn      int
	fragment  bool   // the next packet is a fragment, if both kinds wait
	last      uint64 // number of a transfer
	added     uint64 // short messages so far
	sent      uint64 // of these
	cancelled []uint64
	pending   int
	memory    *[]byte // of packets, for the next one; nil while there is none to make
}

func newPeerBusEncoder(o Options) *peerBusEncoder {
	l := o.Limits
	l.Packet += Headroom
	e := &peerBusEncoder{
		limits: l, packet: l.Packet, rows: o.Rows, longest: max(l.Packet, min(o.Packet, LongPacket)), lanes: map[lane]*outbound{},
	}
	if o.Sequels {
		e.sequels = &sequels{}
	}
	return e
}

func (e *peerBusEncoder) Lengthen(yes bool) {
	if e.packet = e.limits.Packet; yes {
		e.packet = e.longest
	}
}

func (e *peerBusEncoder) Pending() int { return e.pending }

func (e *peerBusEncoder) Add(m *pb.Message) error { return e.Carry(codec.Bare(m)) }

func (e *peerBusEncoder) Carry(c codec.Carried) error {
	if c.Len() == 1 {
		return e.carry(c)
	}
	if most := c.Longest(); e.rows && rowOverhead+entrySize(most) <= e.limits.Packet && most <= e.limits.Whole {
		e.carryRow(c)
		return nil
	}
	for one := range c.Each() {
		if err := e.carry(one); err != nil {
			return err
		}
	}
	return nil
}

// carryRow is Carry of a row, which goes on with the last one that is queued, if it can.
func (e *peerBusEncoder) carryRow(c codec.Carried) {
	if last := len(e.short) - 1; last >= 0 && e.lanes[laneOf(c)] == nil {
		s := &e.short[last]
		if joined, ok := s.Join(c); ok {
			e.pending += joined.Wire() - s.size
			*s = shortMessage{joined, joined.Wire()}
			return
		}
	}
	e.pending += c.Wire()
	e.queue(c, c.Wire())
}

// carry is Carry of a message by itself.
func (e *peerBusEncoder) carry(c codec.Carried) error {
	size := c.Size()
	if size > e.limits.Message {
		return fault.New(fault.TooLarge, "message has %d bytes, more than %d", size, e.limits.Message)
	}
	e.pending += size
	e.queue(c, size)
	return nil
}

func (e *peerBusEncoder) queue(m codec.Carried, size int) {
	key := laneOf(m)
	if first := e.lanes[key]; first != nil {
		first.behind = append(first.behind, m)
		return
	}
	if c := m; c.Len() > 1 || entrySize(size) <= e.limits.Packet {
		e.short = append(e.short, shortMessage{m, size})
		e.added++
		return
	}
	o := &outbound{message: m, size: size, after: e.added}
	e.long = append(e.long, o)
	e.lanes[key] = o
}

// wireSize is what is queued of a message, or of a row: that is cut where a packet ends.
func wireSize(c codec.Carried) int {
	if c.Len() == 1 {
		return c.Size()
	}
	return c.Wire()
}

// entrySize is the size of a message as a field of a Frame.
func entrySize(size int) int {
	return protowire.SizeTag(frameMessages) + protowire.SizeBytes(size)
}

func (e *peerBusEncoder) Next() (Packet, bool) {
	if len(e.short) == 0 && len(e.long) == 0 && len(e.cancelled) == 0 {
		e.rest()
		return Packet{}, false
	}
	if len(e.cancelled) == 0 && len(e.long) > 0 && (e.fragment || len(e.short) == 0) {
		e.turn %= min(len(e.long), e.limits.Interleaved)
		if o := e.long[e.turn]; !e.overtakes(o) {
			e.fragment = false
			return e.piece(o), true
		}
	}
	e.fragment = true
	return e.frame(), true
}

// packetMemory is for the packets of all encoders: one that has nothing to send has none.
var packetMemory = sync.Pool{New: func() any { return new([]byte) }}

// begin gives memory for a packet, in place of the one before.
func (e *peerBusEncoder) begin() []byte {
	if e.memory == nil {
		e.memory, _ = packetMemory.Get().(*[]byte)
	}
	return (*e.memory)[:0]
}

func (e *peerBusEncoder) made(b []byte) Packet {
	*e.memory = b
	return Packet{Data: b}
}

func (e *peerBusEncoder) rest() {
	if e.memory != nil {
		packetMemory.Put(e.memory)
		e.memory = nil
	}
}

// pieceSize is how much of a message a fragment carries.
func (e *peerBusEncoder) pieceSize() int { return e.packet - fragmentOverhead }

// overtakes tells whether the next piece of a long message would complete it
// before a short message that was there first.
func (e *peerBusEncoder) overtakes(o *outbound) bool {
	return o.size-o.offset <= e.pieceSize() && e.sent < o.after
}

// frame fills a packet with small messages.
func (e *peerBusEncoder) frame() Packet {
	b := e.begin()
	for _, n := range e.cancelled {
		b = protowire.AppendTag(b, frameCancelled, protowire.VarintType)
		b = protowire.AppendVarint(b, n)
	}
	e.cancelled = e.cancelled[:0]
	if len(b) == 0 && len(e.short) > 0 && e.short[0].Len() > 1 {
		return e.made(e.rowsOf(b))
	}
	n, whole := 0, 0
	for _, s := range e.short {
		if s.Len() > 1 {
			break // it begins another packet
		}
		at := len(b)
		if whole += s.size; at > 0 && whole > e.limits.Whole {
			break
		}
		if b = e.entry(b, s, n); at > 0 && len(b) > e.packet {
			b = b[:at]
			break
		}
		e.pending -= s.size
		n++
	}
	e.leave(n)
	return e.made(b)
}

// leave takes the first short messages out, which are in a packet.
func (e *peerBusEncoder) leave(n int) {
	e.sent += uint64(n) // counts are positive
	clear(e.short[:n])
	e.short = e.short[n:]
}

// rowsOf fills a packet with rows, of which the last may be cut. A message by itself between
// them is a row, too.
func (e *peerBusEncoder) rowsOf(b []byte) []byte {
	n, whole := 0, e.limits.Whole
	for ; n < len(e.short); n++ {
		s := &e.short[n]
		head, tail := s.Cut(e.packet-len(b)-rowOverhead, whole)
		if head.Head() == nil {
			break
		}
		whole -= head.Size()
		b = appendRow(b, head)
		e.pending -= s.size
		if tail.Head() != nil {
			*s = shortMessage{tail, wireSize(tail)}
			e.pending += s.size
			break
		}
	}
	e.leave(n)
	return b
}

// rowOverhead bounds what pb.Frame adds to a row.
const rowOverhead = 1 + 5

func appendRow(b []byte, c codec.Carried) []byte {
	b = protowire.AppendTag(b, frameRows, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(c.Wire())) // a size
	out, err := c.AppendRow(b)
	if err != nil {
		return b // as in appendMessage
	}
	return out
}

// entry appends a message that is the n-th of its packet.
func (e *peerBusEncoder) entry(b []byte, s shortMessage, n int) []byte {
	if e.sequels != nil && n > 0 {
		return e.sequels.append(b, s, e.short[n-1])
	}
	b = protowire.AppendTag(b, frameMessages, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(s.size)) // sizes are positive
	return appendCarried(b, s.Carried, s.size)
}

// appendCarried appends a message of so many bytes.
func appendCarried(b []byte, c codec.Carried, size int) []byte {
	if c.Encoded != nil {
		return append(b, c.Encoded...)
	}
	return appendMessage(b, c.Message(), size)
}

// appendMessage appends a message of so many bytes. It cannot fail: what cannot be encoded
// (a string that is no UTF-8) has been refused by message.Validate.
func appendMessage(b []byte, m *pb.Message, size int) []byte {
	out, err := codec.AppendSized(b, m, size)
	if err != nil {
		return b
	}
	return out
}

// piece cuts the next fragment off the long message whose turn it is.
func (e *peerBusEncoder) piece(o *outbound) Packet {
	if o.data == nil {
		e.last++
		o.number, o.data = e.last, o.message.Encoded
		if o.data == nil {
			o.data = appendMessage(make([]byte, 0, o.size), o.message.Message(), o.size)
		}
	}
	end := min(o.offset+e.pieceSize(), len(o.data))
	b := appendFragment(e.begin(), o, o.data[o.offset:end])
	o.offset = end
	if end == len(o.data) {
		e.finish(e.turn)
	} else {
		e.turn++
	}
	return e.made(b)
}

// appendFragment appends a pb.Frame with a pb.Fragment.
func appendFragment(b []byte, o *outbound, data []byte) []byte {
	var head [fragmentOverhead]byte
	f := protowire.AppendTag(head[:0], 1, protowire.VarintType)
	f = protowire.AppendVarint(f, o.number)
	f = protowire.AppendTag(f, 2, protowire.VarintType)
	f = protowire.AppendVarint(f, uint64(len(o.data)))
	f = protowire.AppendTag(f, 3, protowire.VarintType)
	f = protowire.AppendVarint(f, uint64(o.offset)) // offsets are positive
	f = protowire.AppendTag(f, 4, protowire.BytesType)
	f = protowire.AppendVarint(f, uint64(len(data)))
	b = protowire.AppendTag(b, frameFragment, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(f)+len(data)))
	return append(append(b, f...), data...)
}

// finish takes a long message out, and lets go what waited behind it.
func (e *peerBusEncoder) finish(i int) {
	o := e.long[i]
	e.long = slices.Delete(e.long, i, i+1)
	delete(e.lanes, laneOf(o.message))
	e.pending -= o.size
	for _, m := range o.behind {
		e.queue(m, wireSize(m))
	}
}

func (e *peerBusEncoder) Stop(c Cancel) {
	for i, o := range e.long {
		if o.data != nil && o.number == c.Number {
			e.finish(i)
			return
		}
	}
}

func (e *peerBusEncoder) Tell(c Cancel) {
	if len(e.cancelled) < e.limits.Transfers {
		e.cancelled = append(e.cancelled, c.Number)
	}
}

func (e *peerBusEncoder) Drain() []*pb.Message {
	var out []*pb.Message
	drain := func(c codec.Carried) {
		for one := range c.Each() {
			out = append(out, one.Message())
		}
	}
	for _, s := range e.short {
		drain(s.Carried)
	}
	for _, o := range e.long {
		for _, c := range append([]codec.Carried{o.message}, o.behind...) {
			drain(c)
		}
	}
	e.short, e.long, e.lanes, e.pending, e.sent = nil, nil, map[lane]*outbound{}, 0, e.added
	return out
}
