package codec

import (
	"slices"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Unmarshal is proto.Unmarshal of a message.
func Unmarshal(data []byte, m *pb.Message) error {
	m.Reset()
	return readMessage(slices.Clone(data), m, nil)
}

// UnmarshalShared is Unmarshal of bytes that the message shares from then on: nobody may
// change them any more.
func UnmarshalShared(data []byte, m *pb.Message) error {
	m.Reset()
	return readMessage(data, m, nil)
}

// readMessage reads an empty message. It shares data from then on, unless before says
// otherwise, which is of the messages before it, or nil.
func readMessage(data []byte, m *pb.Message, before *known) error {
	return readMessageWith(data, m, before, nil)
}

// readMessageWith is readMessage of one whose flow is made with those of others.
func readMessageWith(data []byte, m *pb.Message, before *known, flows *several[pb.Flow]) error {
	if before == nil {
		before = newKnown()
	}
	r := reader{b: data}
	before.begin(len(data))
	before.usual(&r, m)
	if r.done() {
		return nil
	}
	for r.next() {
		switch r.tag {
		case tag(1, bytes):
			m.Id = before.new(&r, r.long)
		case tag(10, bytes):
			m.Body = before.own(r.long)
		case tag(11, bytes):
			r.long = before.own(r.long)
			m.Resource = sub(&r, m.Resource, readResource)
		case tag(12, bytes):
			m.Origin = before.originOf(r.long)
		case tag(13, varint):
			m.Number = r.v
		case tag(14, bytes):
			r.long = before.own(r.long)
			m.Flow = subWith(&r, m.Flow, flows.next, readFlow)
		default:
			if !before.headingField(&r, m) {
				r.skip()
			}
		}
	}
	return r.end(data, m)
}

// sub reads a field that is a message. One that comes twice is odd.
func sub[M any](r *reader, have *M, read func([]byte, *M) error) *M {
	return subWith(r, have, func() *M { return new(M) }, read)
}

// subWith is sub of one that is made by something.
func subWith[M any](r *reader, have *M, made func() *M, read func([]byte, *M) error) *M {
	if have != nil {
		r.odd = true
		return have
	}
	m := made()
	if err := read(r.long, m); err != nil {
		r.err = err
	}
	return m
}

func readResource(data []byte, m *pb.Resource) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, bytes):
			m.Content = r.bytes()
		case tag(2, bytes):
			m.MimeType = r.text()
		default:
			r.skip()
		}
	}
	return r.end(data, m)
}

func readFlow(data []byte, f *pb.Flow) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, bytes):
			f.Runtime = r.text()
		case tag(2, varint):
			f.Epoch = r.v
		case tag(3, varint):
			f.Id = r.v
		case tag(4, varint):
			f.Sequence = r.v
		case tag(5, varint):
			f.Base = r.v
		case tag(7, varint):
			f.Refused = r.v != 0
		case tag(8, varint):
			f.After = r.v
		case tag(9, bytes):
			f.Replica = r.text()
		case tag(10, varint):
			f.Receiver = r.v
		default:
			r.skip()
		}
	}
	return r.end(data, f)
}
