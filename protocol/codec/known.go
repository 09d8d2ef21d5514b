package codec

import (
	"unsafe"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// known is what messages before have said, most of which the next one says too: then it
// has the same strings, which need no check. It also says who keeps the bytes of what is
// read. The zero value knows nothing, and has each message share its bytes.
type known struct {
	listener string // not of the message
	heading  heading
	origin   []byte
	arena    *arena
	copies   bool // what is kept is copied there; else the message shares its bytes
	brief    bool // the message is short, so that its bytes may be kept with a text
}

// newKnown is one that knows nothing. It is not on the stack of a session's reader, which
// is small while it is idle.
//
//go:noinline
func newKnown() *known { return &known{} }

// begin is for the next message, of so many bytes.
func (k *known) begin(size int) { k.brief = k.copies || size <= arenaBytes }

// usual reads what a message begins with, as far as it is a usual one, into one that is
// empty: what most are made of, without asking of each field which one it is.
//
//	id  │ type, from, to, …    │ body │ origin               │ number │ whatever else
//	new │ as in the one before │ new  │ as in the one before │ new    │ not read here
func (k *known) usual(r *reader, m *pb.Message) {
	if id, ok := r.takes(tag(1, bytes)); ok {
		m.Id = k.new(r, id)
	}
	if !k.heading.take(r, m) {
		k.readHeading(r, m)
	}
	if body, ok := r.takes(tag(10, bytes)); ok {
		m.Body = k.own(body)
	}
	if origin, ok := r.takes(tag(12, bytes)); ok {
		m.Origin = k.originOf(origin)
	}
	if r.at < len(r.b) && r.b[r.at] == tag(13, varint) && r.next() {
		m.Number = r.v
	}
}

// own gives bytes that the message may keep, which cannot be appended to in place.
func (k *known) own(b []byte) []byte {
	if k.copies {
		return k.arena.clone(b, 0)
	}
	return b[:len(b):len(b)]
}

// new is a text that is mostly another one each time.
func (k *known) new(r *reader, text []byte) string {
	if !r.checks(text) {
		return ""
	}
	b := k.own(text)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// text is new, without another string when it is the same as before.
//
//go:noinline
func (k *known) text(before string, r *reader, text []byte) string {
	if string(text) == before {
		return before
	}
	return k.new(r, text)
}

// originOf gives bytes that the message may keep, which are the same ones as long as they
// are alike.
func (k *known) originOf(origin []byte) []byte {
	if len(origin) > 0 && string(origin) == string(k.origin) {
		return k.origin
	}
	b := k.own(origin)
	if k.brief && len(b) <= maxHeading {
		k.origin = b
	}
	return b
}
