package codec

import (
	stdbytes "bytes" // bytes is a kind of field here
	"unicode/utf8"
	"unsafe"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Messages that follow each other mostly differ in little. Who passes them on needs not
// decode one that is alike to the one before:
//
//	id │ type from to │ body │ origin │ number │ flow: name (runtime, epoch, id, replica) │ place
//	     ═════════════          ══════            ═════════════════════════════════════════
//
// What is marked is the same, byte for byte, and nothing else is in it. All that decides
// about its way is that of the other one then.

// pattern is what a message that is alike to another has of it; of one to which nothing
// is alike there is none (nil).
type pattern struct {
	of     *pb.Message
	head   []byte // type, from and to
	origin []byte
	flows  bool
	name   []byte // of the flow
}

// patternOf makes that of a message with its bytes.
//
//go:noinline
func patternOf(m *pb.Message, encoded []byte) *pattern {
	head := headOf(encoded)
	if head == nil {
		return nil
	}
	rest, ok := restOf(encoded, head)
	if !ok {
		return nil
	}
	name, ok := nameOf(rest.flow)
	if !ok {
		return nil
	}
	return &pattern{of: m, head: head, origin: rest.origin, flows: rest.flow != nil, name: name}
}

// fits tells whether a message is alike.
//
//go:noinline
func (p *pattern) fits(encoded []byte) bool {
	if p == nil || !hasHead(encoded, p.head) {
		return false
	}
	rest, ok := restOf(encoded, p.head)
	return ok && (rest.flow != nil) == p.flows && string(rest.origin) == string(p.origin) && utf8.Valid(rest.id) &&
		stdbytes.HasPrefix(rest.flow, p.name) && isPlace(rest.flow[len(p.name):])
}

// idEnd is where the id of a message ends, which is its first field; 0 if it is not.
func idEnd(encoded []byte) int {
	if len(encoded) < 2 || encoded[0] != tag(1, bytes) {
		return 0
	}
	size, n := uvarint(encoded[1:])
	if n < 0 || size == 0 || size > uint64(len(encoded)-1-n) {
		return 0
	}
	return 1 + n + int(size) // bounded above
}

// headOf gives type, from and to, which stand behind the id in this order; nil if they do
// not, or another field is between them.
func headOf(encoded []byte) []byte {
	from := idEnd(encoded)
	if from == 0 {
		return nil
	}
	r := reader{b: encoded, at: from}
	for number := byte(2); number <= 4; number++ {
		if !r.next() || r.tag != tag(number, bytes) || len(r.rest) > 0 {
			return nil
		}
	}
	return encoded[from:r.at]
}

// hasHead tells whether a message has type, from and to of another.
func hasHead(encoded, head []byte) bool {
	at := idEnd(encoded)
	return at > 0 && len(head) > 0 && stdbytes.HasPrefix(encoded[at:], head)
}

// rest are the fields of a message besides its head. Those that end with Field have their
// tags.
type rest struct{ id, body, bodyField, origin, numberField, flow []byte }

// restOf finds them; not ok when there are others, or one is there twice.
func restOf(encoded, head []byte) (f rest, ok bool) {
	end := idEnd(encoded)
	_, n := uvarint(encoded[1:])
	f.id = encoded[1+n : end]
	r := reader{b: encoded, at: end + len(head)}
	for last := byte(0); r.next(); last = r.tag {
		switch {
		case r.tag <= last:
			return f, false
		case r.tag == tag(10, bytes):
			f.body, f.bodyField = r.bytes(), encoded[r.from:r.at]
		case r.tag == tag(13, varint):
			f.numberField = encoded[r.from:r.at]
		case r.tag == tag(12, bytes):
			f.origin = r.long
		case r.tag == tag(14, bytes):
			f.flow = r.long
		default:
			return f, false
		}
	}
	return f, r.err == nil && !r.odd && len(r.rest) == 0
}

// nameOf gives what a flow begins with, before a place; not ok when something else is in it.
func nameOf(flow []byte) (name []byte, ok bool) {
	r := reader{b: flow}
	end := 0
	for last := byte(0); r.next(); last, end = r.tag, r.at {
		if r.tag <= last || r.tag != tag(1, bytes) && r.tag != tag(2, varint) && r.tag != tag(3, varint) && r.tag != tag(9, bytes) {
			break
		}
	}
	return flow[:end:end], len(r.rest) == 0 && isPlace(flow[end:])
}

// isPlace tells whether fields are sequence, base, after and receiver of a flow, some of
// them, each once.
func isPlace(fields []byte) bool {
	r := reader{b: fields}
	for last := byte(0); r.next(); last = r.tag {
		if r.tag <= last || r.tag != tag(4, varint) && r.tag != tag(5, varint) && r.tag != tag(8, varint) && r.tag != tag(10, varint) {
			return false
		}
	}
	return r.err == nil && !r.odd && len(r.rest) == 0
}

// Own is what a message that is alike to another one has of its own.
type Own struct {
	ID   string
	Body []byte
	// Fields are body and number as they are encoded, and Place its place in the flow.
	Fields [2][]byte
	Place  []byte
}

// Own gives what a message has of its own. It is for one that is Alike.
func (c Carried) Own() Own {
	f, _ := restOf(c.Encoded, c.like.head)
	return Own{
		ID: unsafe.String(unsafe.SliceData(f.id), len(f.id)), Body: f.body,
		Fields: [2][]byte{f.bodyField, f.numberField}, Place: f.flow[len(c.like.name):],
	}
}

// ID is the id of the message.
func (c Carried) ID() string {
	if c.like == nil {
		return c.head.GetId()
	}
	_, n := uvarint(c.Encoded[1:])
	id := c.Encoded[1+n : idEnd(c.Encoded)]
	return unsafe.String(unsafe.SliceData(id), len(id))
}
