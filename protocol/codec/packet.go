package codec

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// UnmarshalFrame is proto.Unmarshal of a packet of a data channel. Its messages have
// bytes of their own; its fragment shares data, until that is used for the next packet.
func UnmarshalFrame(data []byte, m *pb.Frame) error {
	m.Reset()
	f := frame{data: data, lent: true}
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, bytes):
			m.Messages = append(m.Messages, f.field(&r, nil))
		case tag(2, bytes):
			m.Fragment = sub(&r, m.Fragment, readFragment)
		case tag(4, varint):
			m.Consumed = r.v
		case tag(5, bytes):
			m.Sequels = append(m.Sequels, sub(&r, nil, f.sequel))
		default:
			r.skip()
		}
	}
	return r.end(data, m)
}

func (f frame) sequel(data []byte, m *pb.Sequel) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, bytes):
			m.Message = f.field(&r, m.Message)
		case tag(2, varint):
			m.Same = uint32(r.v) //nolint:gosec // as protobuf has it
		case tag(3, varint):
			m.SameId = uint32(r.v) //nolint:gosec // as protobuf has it
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
