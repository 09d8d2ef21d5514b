package codec

import (
	"google.golang.org/grpc/mem"

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
	// Whole is for who passes messages on: each comes with its bytes. Some that follow each
	// other share a copy.
	Whole bool

	known known
	arena arena
	run   Messages // of Whole, while they are read
}

// Delivered is a delivery, with the size in bytes that its message had, and its bytes, if
// they are kept.
type Delivered struct {
	Listener string
	Carried
	Size int
}

// Range is pb.Range.
type Range struct{ First, Last uint64 }

// unmarshal reads a frame that gRPC has.
func (m *Received) unmarshal(data mem.BufferSlice) error {
	f, lent := whole(data, 0)
	defer lent.Free()
	return m.read(f)
}

func (m *Received) read(f frame) error {
	clear(m.Deliveries)
	m.Welcome, m.Outcomes, m.Deliveries, m.Settled = nil, nil, m.Deliveries[:0], m.Settled[:0]
	r := reader{b: f.data}
	var outcomes batch[pb.Outcome]
	for r.next() {
		switch r.tag {
		case tag(2, bytes):
			o := outcomes.next(&f)
			m.Outcomes = outcomes.list(m.Outcomes, o)
			r.err = readOutcome(f, r.long, o)
		case tag(3, bytes):
			if m.Whole {
				r.err = m.pass(r.long)
				continue
			}
			m.known.copies = &m.arena
			if !f.lent && len(r.long) >= len(f.data)/2 {
				m.known.copies = nil
			}
			r.err = m.readDelivery(r.long)
		case tag(4, bytes):
			r.err = m.readSettled(r.long)
		default:
			r.skip()
		}
	}
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
	m.Outcomes, m.Deliveries, m.Settled = whole.Outcomes, m.Deliveries[:0], m.Settled[:0]
	for _, d := range whole.Deliveries {
		m.Deliveries = append(m.Deliveries, Delivered{Listener: d.GetListener(), Carried: Bare(d.GetMessage()), Size: Size(d.GetMessage())})
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

// listener is the name of a listener, which is no part of the message.
func (m *Received) listener(r *reader) string {
	if !m.Whole {
		return m.known.text(knownListener, r)
	}
	name := &m.known.texts[knownListener]
	*name = r.same(*name)
	return *name
}

func (m *Received) readDelivery(data []byte) error {
	var d Delivered
	r := reader{b: data}
	m.known.begin(len(data))
	for r.next() {
		switch {
		case r.tag == tag(1, bytes):
			d.Listener = m.listener(&r)
		case r.tag == tag(2, bytes) && d.head == nil:
			d.head, d.Size = m.arena.message(), len(r.long)
			r.err = readMessage(r.long, d.head, &m.known)
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
			d = Delivered{Listener: whole.Listener, Carried: Bare(whole.Message), Size: Size(whole.Message)}
		}
	}
	m.Deliveries = append(m.Deliveries, d)
	return r.err
}
