package codec

import (
	"slices"
	"unicode/utf8"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// A packet of a data channel mostly has one message, and sequels (pb.Sequel) that leave out
// all that makes a message alike to it (alike.go). Their bytes are put together again, and
// they are not decoded:
//
//	sequel:     same │ same_id │ id │      │ body │        │ number │ place
//	message:  id │ type from to │ body │ origin │ number │ flow: name, place

// UnmarshalPacket reads a packet whose sequels are all alike to its one message, and nothing
// else, of so many bytes at most when all is put in. leftOut is what such a sequel has as
// pb.Sequel.same. Of any other packet it gives none, and UnmarshalFrame is to read it.
//
// The message has a copy of its bytes; the others share some.
func UnmarshalPacket(data []byte, most int, leftOut func(*pb.Message) uint32) Messages {
	r := reader{b: data}
	if len(data) > 0 && data[0] == tag(6, bytes) {
		all, _ := readRows(data, most) // what is none is an odd frame
		return all
	}
	if !r.next() || r.tag != tag(1, bytes) || len(r.rest) > 0 || !takesVia(r.long) {
		return nil
	}
	encoded := append(make([]byte, 0, len(r.long)), r.long...)
	first := Carried{Encoded: encoded}
	var made makes
	var err error
	if first.head, err = made.message(encoded); err != nil {
		return nil
	}
	if r.at == len(data) {
		return Messages{first}
	}
	p := put{like: patternOf(first.head, encoded), room: most - len(encoded)}
	if p.like == nil || p.like.flows && first.head.Flow.GetReplica() != "" {
		return nil
	}
	p.same = leftOut(first.head)
	all := Messages{first}
	id := []byte(first.head.Id)
	for r.next() {
		if r.tag != tag(5, bytes) || !p.take(r.long, id, len(data)-r.at) {
			return nil
		}
		if len(all) == 1 {
			all = slices.Grow(all, min(2*mostTogether, 1+(len(data)-r.at)/(r.at-r.from))) // most are as long as this one
		}
		all = append(all, Carried{Encoded: p.last, head: p.like.of, like: p.like})
		id = p.id
	}
	if !r.done() {
		return nil
	}
	return all
}

// put puts sequels together.
type put struct {
	like   *pattern
	same   uint32
	room   int    // bytes of messages that may still come
	memory []byte // for the next ones
	last   []byte
	id     []byte // of the last one
}

// part are the fields of a sequel.
type part struct {
	same, sameID            uint64
	id, body, number, place []byte // body and number with their tags
	flows                   bool
}

// take puts one together, behind which there are so many bytes of the packet. before is the
// id of the one before it.
func (p *put) take(sequel, before []byte, behind int) bool {
	s, ok := readPart(sequel)
	if !ok || s.same != uint64(p.same) || s.sameID > uint64(len(before)) || s.flows != p.like.flows || !isPlace(s.place) {
		return false
	}
	kept := before[:s.sameID]
	size := p.size(&s, len(kept))
	if p.room -= size; p.room < 0 || !utf8.Valid(s.id) {
		return false
	}
	b := p.get(size, len(sequel), behind)
	b = appendLength(b, 1, len(kept)+len(s.id))
	idFrom := len(b)
	b = append(append(b, kept...), s.id...)
	p.id = b[idFrom:]
	b = append(append(b, p.like.head...), s.body...)
	b = append(appendBytes(b, 12, p.like.origin), s.number...)
	if s.flows {
		b = appendLength(b, 14, len(p.like.name)+len(s.place))
		b = append(append(b, p.like.name...), s.place...)
	}
	p.last = b
	return len(p.id) > 0 && utf8.Valid(p.id)
}

func (p *put) size(s *part, kept int) int {
	n := sizeWith(kept+len(s.id)) + len(p.like.head) + len(s.body) + sizeLong(len(p.like.origin)) + len(s.number)
	if s.flows {
		n += sizeWith(len(p.like.name) + len(s.place))
	}
	return n
}

// get gives memory for a message of so many bytes. More is made for the rest of the packet,
// as if all of it were like this sequel: what one that is kept keeps with it is bounded.
func (p *put) get(size, sequel, behind int) []byte {
	if cap(p.memory)-len(p.memory) < size {
		p.memory = make([]byte, 0, max(size, min(together, size*(1+behind/(sequel+2)))))
	}
	from := len(p.memory)
	p.memory = p.memory[:from+size]
	return p.memory[from : from : from+size]
}

// readPart reads a sequel; not ok if it has anything else in it, or something twice.
func readPart(sequel []byte) (s part, ok bool) {
	r := reader{b: sequel}
	var message []byte
	seen := byte(0)
	for r.next() {
		bit := byte(1) << (r.tag >> 3 & 7)
		if seen&bit != 0 {
			return s, false
		}
		seen |= bit
		switch r.tag {
		case tag(1, bytes):
			message = r.long
		case tag(2, varint):
			s.same = r.v
		case tag(3, varint):
			s.sameID = r.v
		default:
			return s, false
		}
	}
	if !r.done() || message == nil {
		return s, false
	}
	return s, s.readOwn(message)
}

// readOwn reads the message of a sequel.
func (s *part) readOwn(message []byte) bool {
	r := reader{b: message}
	for last := byte(0); r.next(); last = r.tag {
		if r.tag <= last {
			return false
		}
		switch r.tag {
		case tag(1, bytes):
			s.id = r.long
		case tag(10, bytes):
			s.body = message[r.from:r.at]
		case tag(13, varint):
			s.number = message[r.from:r.at]
		case tag(14, bytes):
			s.place, s.flows = r.long, true
		default:
			return false
		}
	}
	return r.done()
}
