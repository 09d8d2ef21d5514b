package codec

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

type response struct {
	*pb.AttachResponse
	encoded []Parts // messages of the deliveries; nil, or without a head: they are to be encoded
}

// restOfResponse is what an AttachResponse has besides outcomes, deliveries and what is settled.
func restOfResponse(r *pb.AttachResponse) proto.Message {
	if r.Welcome == nil {
		return nil
	}
	return &pb.AttachResponse{Welcome: r.Welcome}
}

func (r response) size() int {
	n := sizeRest(restOfResponse(r.AttachResponse)) + sizeDeliveries(r.Deliveries, r.encoded)
	for _, o := range r.Outcomes {
		n += sizeWith(SizeOfOutcome(o))
	}
	for _, settled := range r.Settled {
		n += sizeWith(sizeRange(settled))
	}
	return n
}

func (r response) write(w *writer) error {
	for i := len(r.Settled) - 1; i >= 0; i-- {
		end := w.end()
		w.settled(r.Settled[i])
		w.close(4, end)
	}
	if err := w.rest(restOfResponse(r.AttachResponse)); err != nil {
		return err
	}
	if err := w.deliveries(3, r.Deliveries, r.encoded); err != nil {
		return err
	}
	for i := len(r.Outcomes) - 1; i >= 0; i-- {
		end := w.end()
		if err := w.outcome(r.Outcomes[i]); err != nil {
			return err
		}
		w.close(2, end)
	}
	return nil
}

// SizeOfOutcome is proto.Size of an outcome.
func SizeOfOutcome(o *pb.Outcome) int {
	if o == nil {
		return 0
	}
	n := sizeNumber(o.Sequence) + sizeNumber(uint64(o.Code)) + sizeText(o.Description) + sizeText(o.Field) // as protobuf has it
	if o.Response != nil {
		n += sizeWith(Size(o.Response))
	}
	return n
}

func (w *writer) outcome(o *pb.Outcome) error {
	if o == nil {
		return nil
	}
	w.text(5, o.Field)
	if o.Response != nil {
		end := w.end()
		if err := w.message(o.Response); err != nil {
			return err
		}
		w.close(4, end)
	}
	w.text(3, o.Description)
	w.number(2, uint64(o.Code)) // as protobuf has it
	w.number(1, o.Sequence)
	return nil
}

func sizeDeliveries(deliveries []*pb.Delivery, encoded []Parts) (n int) {
	for i, d := range deliveries {
		parts := at(encoded, i)
		if parts.delivers() {
			n += len(parts.Front) + len(parts.Deliveries)
			continue
		}
		n += sizeWith(sizeDelivery(d, parts))
	}
	return n
}

func at(encoded []Parts, i int) Parts {
	if encoded == nil {
		return Parts{}
	}
	return encoded[i]
}

func sizeDelivery(d *pb.Delivery, encoded Parts) int {
	if d == nil {
		return 0
	}
	n := sizeText(d.Listener)
	switch {
	case encoded.Head != nil:
		n += sizeWith(len(encoded.Head) + len(encoded.Tail))
	case d.Message != nil:
		n += sizeWith(Size(d.Message))
	}
	if d.From != nil {
		n += sizeWith(proto.Size(d.From))
	}
	return n + sizeRest(restOfDelivery(d))
}

// restOfDelivery are sequels of one that is not encoded already.
func restOfDelivery(d *pb.Delivery) proto.Message {
	if len(d.Sequels) == 0 {
		return nil
	}
	return &pb.Delivery{Sequels: d.Sequels}
}

func (w *writer) deliveries(field byte, deliveries []*pb.Delivery, encoded []Parts) error {
	for i := len(deliveries) - 1; i >= 0; i-- {
		end, parts := w.end(), at(encoded, i)
		if parts.delivers() {
			w.owned(parts)
			continue
		}
		if err := w.delivery(deliveries[i], parts); err != nil {
			return err
		}
		w.close(field, end)
	}
	return nil
}

func (w *writer) delivery(d *pb.Delivery, encoded Parts) error {
	if d == nil {
		return nil
	}
	if err := w.rest(restOfDelivery(d)); err != nil {
		return err
	}
	if d.From != nil {
		end := w.end()
		if err := w.rest(d.From); err != nil {
			return err
		}
		w.close(3, end)
	}
	switch {
	case encoded.Head != nil:
		end := w.end()
		w.raw(encoded.Tail)
		w.encoded(encoded.Head)
		w.close(2, end)
	case d.Message != nil:
		end := w.end()
		if err := w.message(d.Message); err != nil {
			return err
		}
		w.close(2, end)
	}
	w.text(1, d.Listener)
	return nil
}

func readResponse(f frame, m *pb.AttachResponse) error {
	m.Reset()
	r := reader{b: f.data}
	var deliveries batch[pb.Delivery]
	var outcomes batch[pb.Outcome]
	listener := ""
	for r.next() {
		switch r.tag {
		case tag(2, bytes):
			o := outcomes.next(&f)
			m.Outcomes = outcomes.list(m.Outcomes, o)
			r.err = readOutcome(f, r.long, o)
		case tag(3, bytes):
			d := deliveries.next(&f)
			m.Deliveries = deliveries.list(m.Deliveries, d)
			r.err = readDelivery(f, r.long, d, &listener)
		case tag(4, bytes):
			settled := &pb.Range{}
			m.Settled = append(m.Settled, settled)
			r.err = readRange(r.long, settled)
		default:
			r.skip()
		}
	}
	return r.end(f.data, m)
}

func readOutcome(f frame, data []byte, o *pb.Outcome) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, varint):
			o.Sequence = r.v
		case tag(2, varint):
			o.Code = int32(r.v) // as protobuf has it
		case tag(3, bytes):
			o.Description = r.same("")
		case tag(4, bytes):
			o.Response = f.field(&r, o.Response)
		case tag(5, bytes):
			o.Field = r.same("")
		default:
			r.skip()
		}
	}
	return r.end(data, o)
}

// readDelivery reads a delivery. Most of a frame are for the same listener.
func readDelivery(f frame, data []byte, d *pb.Delivery, listener *string) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, bytes):
			d.Listener = r.same(*listener)
			*listener = d.Listener
		case tag(2, bytes):
			d.Message = f.field(&r, d.Message)
		default:
			r.skip()
		}
	}
	return r.end(data, d)
}

type listened struct {
	*pb.ListenResponse
	encoded []Parts
}

func (l listened) size() int { return sizeDeliveries(l.Deliveries, l.encoded) }

func (l listened) write(w *writer) error { return w.deliveries(1, l.Deliveries, l.encoded) }

func readListened(f frame, m *pb.ListenResponse) error {
	m.Reset()
	r := reader{b: f.data}
	var deliveries batch[pb.Delivery]
	listener := ""
	for r.next() {
		if r.tag != tag(1, bytes) {
			r.skip()
			continue
		}
		d := deliveries.next(&f)
		m.Deliveries = deliveries.list(m.Deliveries, d)
		r.err = readDelivery(f, r.long, d, &listener)
	}
	return r.end(f.data, m)
}
