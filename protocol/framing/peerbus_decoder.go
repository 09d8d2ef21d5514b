package framing

import (
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

type peerBusDecoder struct {
	table *table[uint64]
	limit Limits
	last  uint64 // highest number of a transfer so far
}

func newPeerBusDecoder(l Limits) *peerBusDecoder {
	return &peerBusDecoder{table: newTable[uint64](l), limit: l}
}

func (d *peerBusDecoder) Decode(p Packet) (Received, error) {
	var r Received
	if p.Text {
		return r, fault.New(fault.BadRequest, "text packet on a peerbus.v1 channel")
	}
	if r.Messages = codec.UnmarshalPacket(p.Data, d.limit.Whole, sameAsHead); r.Messages != nil {
		return r, nil
	}
	return d.frame(p.Data)
}

// frame takes a packet of which all is decoded.
func (d *peerBusDecoder) frame(data []byte) (r Received, err error) {
	var f pb.Frame
	if err := codec.UnmarshalFrame(data, &f); err != nil {
		return r, fault.New(fault.BadRequest, "packet is no frame: %w", err)
	}
	switch {
	case len(f.Rows) > 0:
		return r, fault.New(fault.BadRequest, "packet has malformed rows")
	case f.Consumed > 0:
		return Received{Consumed: f.Consumed}, nil
	}
	for _, m := range f.Messages {
		r.Messages = append(r.Messages, codec.Bare(m))
	}
	if err := d.sequels(f.Sequels, &r); err != nil {
		return r, err
	}
	for _, n := range f.Cancelled {
		r.Cancelled = append(r.Cancelled, Cancel{Number: n})
	}
	if f.Fragment == nil {
		return r, nil
	}
	err = d.fragment(f.Fragment, &r)
	return r, err
}

// sequels completes them. They may be far longer than their packet, up to a bound.
func (d *peerBusDecoder) sequels(all []*pb.Sequel, r *Received) error {
	whole := 0
	var ids strings.Builder
	for _, s := range all {
		var before *pb.Message
		if n := len(r.Messages); n > 0 {
			before = r.Messages[n-1].Head()
		}
		m, err := complete(s, before, &ids)
		if err != nil {
			return err
		}
		if whole += codec.Size(m); whole > d.limit.Whole {
			return fault.New(fault.TooLarge, "the messages of a packet have more than %d bytes", d.limit.Whole)
		}
		r.Messages = append(r.Messages, codec.Bare(m))
	}
	return nil
}

func (d *peerBusDecoder) fragment(f *pb.Fragment, r *Received) error {
	t := d.table.get(f.Transfer)
	if t == nil {
		if f.Transfer <= d.last && f.Offset > 0 {
			return nil // the rest of one that was given up
		}
		var err error
		if t, err = d.open(f, r); err != nil {
			return err
		}
	}
	if err := fits(f, t); err != nil {
		d.giveUp(f.Transfer, r)
		return err
	}
	d.dropped(d.table.grow(f.Transfer, f.Data), r)
	if len(t.data) < t.size {
		return nil
	}
	d.table.drop(f.Transfer)
	m := &pb.Message{}
	if err := codec.UnmarshalShared(t.data, m); err != nil {
		return fault.New(fault.BadRequest, "transfer %d is no message: %w", f.Transfer, err)
	}
	r.Messages = append(r.Messages, codec.Bare(m))
	return nil
}

// open begins a transfer with its first fragment.
func (d *peerBusDecoder) open(f *pb.Fragment, r *Received) (*transfer, error) {
	switch {
	case f.Transfer <= d.last:
		return nil, fault.New(fault.BadRequest, "transfer %d begins again", f.Transfer)
	case f.Offset != 0:
		return nil, fault.New(fault.BadRequest, "transfer %d begins at byte %d", f.Transfer, f.Offset)
	case f.Size > uint64(d.limit.Message): // the limit is positive
		d.last = f.Transfer
		r.GivenUp = append(r.GivenUp, Cancel{Number: f.Transfer})
		return nil, fault.New(fault.TooLarge, "transfer %d has %d bytes, more than %d", f.Transfer, f.Size, d.limit.Message)
	}
	d.last = f.Transfer
	t := &transfer{size: int(f.Size)} // bounded above
	d.dropped(d.table.open(f.Transfer, t), r)
	return t, nil
}

// fits tells whether a fragment is the next piece of its transfer.
func fits(f *pb.Fragment, t *transfer) error {
	switch {
	case len(f.Data) == 0:
		return fault.New(fault.BadRequest, "transfer %d has an empty fragment", f.Transfer)
	case f.Size != uint64(t.size): // sizes are positive
		return fault.New(fault.BadRequest, "transfer %d changed its size from %d to %d", f.Transfer, t.size, f.Size)
	case f.Offset != uint64(len(t.data)):
		return fault.New(fault.BadRequest, "transfer %d goes on at byte %d, not %d", f.Transfer, f.Offset, len(t.data))
	case len(f.Data) > t.size-len(t.data):
		return fault.New(fault.BadRequest, "transfer %d is longer than its size", f.Transfer)
	}
	return nil
}

func (d *peerBusDecoder) giveUp(number uint64, r *Received) {
	d.table.drop(number)
	r.GivenUp = append(r.GivenUp, Cancel{Number: number})
}

func (d *peerBusDecoder) dropped(victims []victim[uint64], r *Received) {
	for _, v := range victims {
		r.GivenUp = append(r.GivenUp, Cancel{Number: v.name})
	}
}
