package codec

import (
	"encoding/binary"
	"errors"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// writer writes a frame from its end to its beginning, so that the length of a field is
// known when its turn comes, and nothing is measured twice.
//
//	[ free          │ tag length message │ … ]
//	  ◀── at ───────┘
//
// Long messages that are encoded already can stay where they are (share).
type writer struct {
	b      []byte
	at     int
	shares bool      // what is long stays
	beside []leaving // which does, the last of the frame first
	shared int       // bytes of them
}

// written is what is written out: its size, and its bytes.
type written interface {
	size() int
	write(*writer) error
}

var errChanged = errors.New("a message was changed while it was encoded")

// encode fills b, which is as long as the size that was measured. A program that changes
// a message meanwhile, which it must not, is told so: what does not fit would panic.
func encode(f written, b []byte) (err error) {
	w := writer{b: b, at: len(b)}
	return w.encode(f)
}

func (w *writer) encode(f written) (err error) {
	defer w.fits(&err)
	return f.write(w)
}

// fits is deferred: it says that a message was changed if it does not fill b.
func (w *writer) fits(err *error) {
	switch {
	case w.at < 0 && recover() != nil:
		*err = errChanged
	case w.at != 0 && *err == nil:
		*err = errChanged
	}
}

// Every field of the frames has a number below 16, so that its tag is one byte.
const (
	varint = byte(protowire.VarintType)
	bytes  = byte(protowire.BytesType)
)

func tag(number byte, kind byte) byte { return number<<3 | kind }

func (w *writer) tag(number, kind byte) {
	w.at--
	w.b[w.at] = tag(number, kind)
}

func (w *writer) uvarint(v uint64) {
	w.at -= protowire.SizeVarint(v)
	binary.PutUvarint(w.b[w.at:], v)
}

// number writes a field, unless it is 0.
func (w *writer) number(field byte, v uint64) {
	if v != 0 {
		w.uvarint(v)
		w.tag(field, varint)
	}
}

// flag writes a field, unless it is false.
func (w *writer) flag(field byte, v bool) {
	if v {
		w.number(field, 1)
	}
}

// text writes a field, unless it is empty.
func (w *writer) text(field byte, s string) {
	if s != "" {
		w.at -= len(s)
		copy(w.b[w.at:], s)
		w.close(field, w.end()+len(s))
	}
}

// bytes writes a field, unless it is empty.
func (w *writer) bytes(field byte, v []byte) {
	if len(v) > 0 {
		w.raw(v)
		w.close(field, w.end()+len(v))
	}
}

func (w *writer) raw(v []byte) {
	w.at -= len(v)
	copy(w.b[w.at:], v)
}

// encoded is raw of a message, which stays where it is if it is long.
func (w *writer) encoded(v []byte) {
	if !w.shares || len(v) < longFrom {
		w.raw(v)
		return
	}
	w.share(v, nil)
}

// owned is raw of deliveries, which stay where they are if they may.
func (w *writer) owned(p Parts) {
	if w.shares && p.stays() {
		w.share(p.Deliveries, p.Owner)
	} else {
		w.raw(p.Deliveries)
		if p.Owner != nil {
			p.Owner.Sent()
		}
	}
	w.raw(p.Front)
}

// share has bytes stay where they are.
func (w *writer) share(v []byte, owner Owner) {
	w.beside = append(w.beside, leaving{at: w.at, data: v[:len(v):len(v)], owner: owner, pool: mem.NopBufferPool{}})
	w.shared += len(v)
}

// longFrom is from how many bytes on an encoded message need not be copied into a frame.
const longFrom = 8 << 10

// end is where a field ends that is to be closed when it is written.
func (w *writer) end() int { return w.at - w.shared }

// close writes length and tag of what has been written since end.
func (w *writer) close(field byte, end int) {
	w.uvarint(uint64(end - w.end())) // it counts down
	w.tag(field, bytes)
}

// rest writes the fields of a message that are not written out; nil is none.
func (w *writer) rest(m proto.Message) error {
	if m == nil {
		return nil
	}
	size := proto.Size(m)
	w.at -= size
	_, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(w.b[w.at:w.at:w.at+size], m)
	return err
}

func sizeNumber(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func sizeFlag(v bool) int {
	if v {
		return 2
	}
	return 0
}

func sizeText(s string) int { return sizeLong(len(s)) }

// sizeLong is the size of a field of so many bytes; of an empty one there is none.
func sizeLong(n int) int {
	if n == 0 {
		return 0
	}
	return sizeWith(n)
}

// sizeWith is the size of a field of so many bytes that is there though it is empty.
func sizeWith(n int) int {
	if n < 0x80 { // as most are
		return 2 + n
	}
	return 1 + protowire.SizeBytes(n)
}

func sizeRest(m proto.Message) int {
	if m == nil {
		return 0
	}
	return proto.Size(m)
}
