package codec

import (
	"slices"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Received is an AttachResponse as a client reads it: for RecvMsg of one stream, frame
// after frame. Messages and outcomes are for whoever takes them; all else is used again
// for the next frame.
type Received struct {
	Welcome    *pb.Welcome
	Outcomes   []*pb.Outcome
	Deliveries []Delivered
	Settled    []Range

	known known
}

// Delivered is a delivery, with the size in bytes that its message had.
type Delivered struct {
	Listener string
	Message  *pb.Message
	Size     int
}

// Range is pb.Range.
type Range struct{ First, Last uint64 }

// Short messages of a frame are made, and their bytes are copied, some at a time. So
// one that is kept keeps that many others at most.
const (
	madeTogether   = 8
	copiedTogether = 2 << 10 // bytes
)

// unmarshal reads a frame that gRPC has.
func (m *Received) unmarshal(data mem.BufferSlice) error {
	if size := data.Len(); size >= keptFrom && (size > 2*keptFrom || isOne(data, size)) {
		return m.read(frame{data: data.Materialize()})
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	return m.read(frame{data: b.ReadOnlyData(), lent: true})
}

// isOne tells whether the first field is most of a frame.
func isOne(data mem.BufferSlice, size int) bool {
	b := data[0].ReadOnlyData()
	_, _, n := protowire.ConsumeTag(b)
	if n < 0 {
		return false
	}
	first, n := protowire.ConsumeVarint(b[n:])
	return n > 0 && first > uint64(size)/2 //nolint:gosec // a size
}

func (m *Received) read(f frame) error {
	clear(m.Deliveries)
	m.Welcome, m.Outcomes, m.Deliveries, m.Settled = nil, nil, m.Deliveries[:0], m.Settled[:0]
	r := reader{b: f.data}
	var outcomes batch[pb.Outcome]
	var own copied
	var made []pb.Message
	for r.next() {
		switch r.tag {
		case tag(2, bytes):
			o := outcomes.next(&f)
			m.Outcomes = outcomes.list(m.Outcomes, o)
			r.err = readOutcome(f, r.long, o)
		case tag(3, bytes):
			if len(made) == 0 {
				made = make([]pb.Message, min(madeTogether, 1+(len(r.b)-r.at)/(r.at-r.from)))
			}
			r.err = m.readDelivery(own.of(f, &r), &made[0])
			made = made[1:]
		case tag(4, bytes):
			r.err = m.readSettled(r.long)
		default:
			r.skip()
		}
	}
	return m.end(f, &r)
}

// end has package proto read what is rare in a frame, or an odd one.
func (m *Received) end(f frame, r *reader) error {
	if r.err != nil || !r.odd && len(r.rest) == 0 {
		return r.err
	}
	var whole pb.AttachResponse
	if err := r.end(f.data, &whole); err != nil {
		return err
	}
	m.Welcome = whole.Welcome
	if !r.odd {
		return nil
	}
	m.Outcomes, m.Deliveries, m.Settled = whole.Outcomes, m.Deliveries[:0], m.Settled[:0]
	for _, d := range whole.Deliveries {
		m.Deliveries = append(m.Deliveries, Delivered{d.GetListener(), d.GetMessage(), Size(d.GetMessage())})
	}
	for _, s := range whole.Settled {
		m.Settled = append(m.Settled, Range{s.GetFirst(), s.GetLast()})
	}
	return nil
}

func (m *Received) readSettled(data []byte) error {
	var settled pb.Range
	err := readRange(data, &settled)
	m.Settled = append(m.Settled, Range{settled.First, settled.Last})
	return err
}

// readDelivery reads a delivery, whose bytes its message has from then on.
func (m *Received) readDelivery(data []byte, message *pb.Message) error {
	var d Delivered
	r := reader{b: data}
	m.known.brief = len(data) <= copiedTogether
	for r.next() {
		switch {
		case r.tag == tag(1, bytes):
			d.Listener = m.known.text(knownListener, &r)
		case r.tag == tag(2, bytes) && d.Message == nil:
			d.Message, d.Size = message, len(r.long)
			r.err = readMessage(r.long, message, &m.known)
		case r.tag == tag(2, bytes):
			r.odd = true
		default:
			r.skip()
		}
	}
	if r.err == nil && (r.odd || len(r.rest) > 0) {
		var whole pb.Delivery
		r.err = r.end(data, &whole)
		if r.odd {
			d = Delivered{whole.Listener, whole.Message, Size(whole.Message)}
		}
	}
	m.Deliveries = append(m.Deliveries, d)
	return r.err
}

// copied is a copy of a part of a frame: of a field and of what follows it.
type copied struct {
	from int // where it was
	b    []byte
}

// of gives a copy of the field that the reader of the frame is at. One that is most of
// a frame that may be kept needs none.
func (c *copied) of(f frame, r *reader) []byte {
	size := len(r.long)
	if !f.lent && size >= len(f.data)/2 {
		return r.long
	}
	from := r.at - size
	if from+size > c.from+len(c.b) {
		c.from, c.b = from, slices.Clone(f.data[from:min(len(f.data), from+max(size, copiedTogether))])
	}
	return c.b[from-c.from:][:size:size]
}

// known are the texts of the delivery before, most of which are the next one's too:
// then they are the same strings, and need no check.
type known struct {
	brief bool // what is read is short, so that its bytes may be kept
	texts [4]string
}

const (
	knownListener = iota
	knownType
	knownFrom
	knownTo
)

// text is reader.text; nil knows nothing.
func (k *known) text(which int, r *reader) string {
	if k == nil {
		return r.text()
	}
	before := &k.texts[which]
	if string(r.long) == *before {
		return *before
	}
	s := r.text()
	if k.brief {
		*before = s
	}
	return s
}
