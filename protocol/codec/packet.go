package codec

import (
	"slices"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// UnmarshalFrame is proto.Unmarshal of a packet of a data channel. Its messages share a
// copy of it; its fragment shares data, until that is used for the next packet.
func UnmarshalFrame(data []byte, m *pb.Frame) error {
	m.Reset()
	p := packet{data: data}
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, bytes):
			if m.Messages == nil {
				m.Messages = make([]*pb.Message, 0, 1+len(data)/shortest) // the sequels are put behind
			}
			m.Messages = append(m.Messages, p.field(&r, p.own(&r), nil))
		case tag(2, bytes):
			m.Fragment = sub(&r, m.Fragment, readFragment)
		case tag(4, varint):
			m.Consumed = r.v
		case tag(5, bytes):
			s := p.sequels.next()
			m.Sequels = append(m.Sequels, s)
			r.err = p.sequel(p.own(&r), s)
		default:
			r.skip()
		}
	}
	return r.end(data, m)
}

// packet makes the messages of a packet together.
type packet struct {
	data    []byte
	copied  []byte // of it; nil before it is needed
	made    makes
	sequels several[pb.Sequel]
}

// own gives the value of a field in the copy.
func (p *packet) own(r *reader) []byte {
	if p.copied == nil {
		p.copied = slices.Clone(p.data)
	}
	return p.copied[r.at-len(r.long) : r.at : r.at]
}

// field reads a message, of which data is the value. One that is there twice is odd.
func (p *packet) field(r *reader, data []byte, have *pb.Message) *pb.Message {
	if have != nil {
		r.odd = true
		return have
	}
	m, err := p.made.message(data)
	r.err = err
	return m
}

func (p *packet) sequel(data []byte, m *pb.Sequel) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, bytes):
			m.Message = p.field(&r, r.long, m.Message)
		case tag(2, varint):
			m.Same = uint32(r.v) // as protobuf has it
		case tag(3, varint):
			m.SameId = uint32(r.v) // as protobuf has it
		default:
			r.skip()
		}
	}
	return r.end(data, m)
}

func readFragment(data []byte, m *pb.Fragment) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, varint):
			m.Transfer = r.v
		case tag(2, varint):
			m.Size = r.v
		case tag(3, varint):
			m.Offset = r.v
		case tag(4, bytes):
			m.Data = r.bytes()
		default:
			r.skip()
		}
	}
	return r.end(data, m)
}
