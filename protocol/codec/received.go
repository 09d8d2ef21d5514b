package codec

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Received is an AttachResponse as a client reads it, for RecvMsg of one stream, frame
// after frame. Messages and outcomes belong to whoever takes them; all else is used again
// for the next frame.
type Received struct {
	Welcome    *pb.Welcome
	Outcomes   []*pb.Outcome
	Deliveries []Delivered
	Groups     []Group // of Deliveries
	Settled    []Range
	// Whole is for clients that pass messages on: each message comes with its bytes. Some
	// that follow each other share a copy.
	Whole bool
	// Lends tells whether messages for a listener are lent (Opener); nil: for none.
	Lends func(listener string) bool

	known known
	arena arena
	run   Messages // of Whole, while they are read
	lot   *Lot     // that the next delivery may belong to
}

// Delivered is the message of a delivery, with the size in bytes that it came with, and its
// bytes, if they are kept.
type Delivered struct {
	Carried
	Size int
}

// Group is deliveries that follow each other and are for one listener. They are in Lot, if
// that is not nil, which whoever takes it must free; else they are the next ones of
// Deliveries.
type Group struct {
	Listener string
	Length   int
	Lot      *Lot
}

// Range is the same as pb.Range.
type Range struct{ First, Last uint64 }

// unmarshal reads a frame that gRPC has.
func (m *Received) unmarshal(data mem.BufferSlice) error {
	f, lent := m.whole(data)
	defer lent.Free()
	f.memory = lent
	return m.read(f)
}

// whole gives a frame in one piece: a long message is in memory of its own, unless it is
// lent. A row is no such message.
func (m *Received) whole(data mem.BufferSlice) (frame, mem.Buffer) {
	if data.Len() < keptFrom {
		return lentWhole(data)
	}
	if listener, row := firstDelivery(data[0].ReadOnlyData()); row || m.Lends != nil && m.Lends(listener) {
		return lentWhole(data)
	}
	return whole(data, 0)
}

// firstDelivery gives the listener of the delivery that a frame begins with, or none, and
// tells whether it has sequels.
func firstDelivery(b []byte) (listener string, row bool) {
	size, n := protowire.ConsumeVarint(b[1:])
	if b[0] != tag(3, bytes) || n < 0 {
		return "", false
	}
	name := placeOf(b, 1+n, tag(1, bytes))
	message := placeOf(b, max(1+n, int(name.to)), tag(2, bytes))
	return string(b[name.from:name.to]), message.to > 0 && uint64(message.to) < uint64(1+n)+size // not negative
}

func (m *Received) read(f frame) error {
	clear(m.Deliveries)
	clear(m.Groups)
	m.lot = nil
	m.Welcome, m.Outcomes, m.Deliveries, m.Groups, m.Settled = nil, nil, m.Deliveries[:0], m.Groups[:0], m.Settled[:0]
	m.known.arena = &m.arena
	r := reader{b: f.data}
	var outcomes batch[pb.Outcome]
	for r.next() {
		switch r.tag {
		case tag(2, bytes):
			o := outcomes.next(&f)
			m.Outcomes = outcomes.list(m.Outcomes, o)
			r.err = readOutcome(f, r.long, o)
		case tag(3, bytes):
			var in bool
			if in, r.err = m.intoLot(f, r.at-len(r.long), r.at); !in && r.err == nil {
				m.known.copies = f.lent || len(r.long) < len(f.data)/2
				r.err = m.readDelivery(r.long)
			}
		case tag(4, bytes):
			r.err = m.readSettled(r.long)
		default:
			r.skip()
		}
	}
	m.endLot(f)
	if r.err == nil && m.Whole && !r.odd {
		r.err = m.readPassed(f)
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
	m.Outcomes, m.Deliveries, m.Groups, m.Settled = whole.Outcomes, m.Deliveries[:0], m.Groups[:0], m.Settled[:0]
	for _, d := range whole.Deliveries {
		if len(d.GetSequels()) > 0 {
			return errSequels
		}
		*m.next() = Delivered{Carried: Bare(d.GetMessage()), Size: Size(d.GetMessage())}
		m.count(d.GetListener())
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

func (m *Received) readDelivery(data []byte) error {
	var listener string
	d := m.next()
	r := reader{b: data}
	m.known.begin(len(data))
	if name, ok := r.takes(tag(1, bytes)); ok {
		listener = m.listener(&r, name)
	}
	if m.Whole && r.err == nil {
		if encoded, sequels := field(data[r.at:], tag(2, bytes)); len(sequels) > 0 && sequels[0] == tag(9, bytes) {
			return m.rowFor(listener, encoded, sequels, d)
		}
	}
	if encoded, ok := r.takes(tag(2, bytes)); ok && r.err == nil {
		r.err = m.message(encoded, d)
	}
	if r.done() {
		m.count(listener)
		return nil
	}
	others := 0
	for r.next() {
		switch {
		case r.tag == tag(9, bytes):
			others++
			d = m.next()
			r.err = m.readSequel(r.b[r.from:r.at], d)
		case others > 0:
			r.err = errSequels
		case r.tag == tag(1, bytes):
			listener = m.listener(&r, r.long)
		case r.tag == tag(2, bytes) && d.Size == 0 && d.head == nil && d.Encoded == nil:
			r.err = m.message(r.long, d)
		case r.tag == tag(2, bytes):
			r.odd = true
		default:
			r.skip()
		}
	}
	if r.err == nil && (r.odd || len(r.rest) > 0) {
		var whole pb.Delivery
		r.err = r.end(data, &whole)
		if len(whole.Sequels) > 0 {
			return errSequels
		}
		if r.odd {
			listener, *d = whole.Listener, Delivered{Carried: Bare(whole.Message), Size: Size(whole.Message)}
		}
	}
	for ; others > 0; others-- {
		m.count(listener)
	}
	m.count(listener)
	return r.err
}

// rowFor reads a delivery with sequels, for who passes them on.
func (m *Received) rowFor(listener string, encoded, sequels []byte, d *Delivered) (err error) {
	both := append(append(make([]byte, 0, len(encoded)+len(sequels)), encoded...), sequels...)
	d.Carried, err = readRow(both[:len(encoded):len(encoded)], both[len(encoded):])
	d.Size = d.Carried.Size()
	m.count(listener)
	return err
}

// readSequel reads a message that is as the one before in all but id, body and number.
func (m *Received) readSequel(sequel []byte, d *Delivered) error {
	var own Plain
	before := m.Deliveries[len(m.Deliveries)-2].head
	if before == nil || before.Flow != nil || before.Resource != nil || before.Trace != nil || HasUnknown(before) {
		return errSequels
	}
	if _, ok := own.readSequel(sequel); !ok {
		return errSequels
	}
	h := m.arena.message(len(sequel))
	h.Id, h.Body = lentText(m.known.own(own.ID)), m.known.own(own.Body)
	h.Type, h.From, h.To, h.Origin, h.Number = before.Type, before.From, before.To, before.Origin, before.Number+1
	copyMore(h, before)
	d.head, d.Size = h, Size(h)
	return nil
}

// next gives an empty delivery.
func (m *Received) next() *Delivered {
	n := len(m.Deliveries)
	if n == cap(m.Deliveries) {
		m.Deliveries = append(m.Deliveries, Delivered{})
	} else {
		m.Deliveries = m.Deliveries[:n+1]
	}
	return &m.Deliveries[n]
}

// count counts a delivery for a listener.
func (m *Received) count(listener string) {
	if n := len(m.Groups); n > 0 && m.Groups[n-1].Listener == listener && m.Groups[n-1].Lot == nil {
		m.Groups[n-1].Length++
		return
	}
	m.Groups = append(m.Groups, Group{listener, 1, nil})
}

// listener is the name of a listener, which is no part of the message.
func (m *Received) listener(r *reader, name []byte) string {
	k := &m.known
	switch {
	case string(name) == k.listener:
	case m.Whole && r.checks(name):
		k.listener = string(name)
	case k.brief:
		k.listener = k.new(r, name)
	default:
		return k.new(r, name)
	}
	return k.listener
}

// message reads the message of a delivery. For who passes messages on, it is found where
// it is: those of a listener are read together (passed.go).
func (m *Received) message(data []byte, d *Delivered) error {
	d.Size = len(data)
	if m.Whole {
		d.Encoded = data
		return nil
	}
	d.head = m.arena.message(len(data))
	return readMessage(data, d.head, &m.known)
}
