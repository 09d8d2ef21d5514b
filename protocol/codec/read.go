package codec

import (
	"errors"
	"strings"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

var errText = errors.New("a text is not UTF-8")

// reader goes through the fields of a message, and sorts out those that package proto
// is to read: rest is for its fields without a case here; odd says that it has to read
// the whole, as the message is encoded as no encoder does it (a tag that is longer than
// it must be, a message twice).
type reader struct {
	b    []byte
	tag  byte   // of the field
	v    uint64 // its value, when it is a varint
	long []byte // its value, when it is bytes
	all  []byte // the field with its tag
	rest []byte
	odd  bool
	err  error
}

// next goes to the next field that may have a case; false at the end, or with an error.
func (r *reader) next() bool {
	for len(r.b) > 0 && r.err == nil && !r.odd {
		n := -1
		switch r.tag = r.b[0]; {
		case r.tag >= 0x80 || r.tag < 1<<3:
			r.beyond()
			continue
		case r.tag&7 == varint:
			r.v, n = protowire.ConsumeVarint(r.b[1:])
		case r.tag&7 == bytes:
			r.long, n = protowire.ConsumeBytes(r.b[1:])
		default:
			r.beyond()
			continue
		}
		if n < 0 {
			r.err = protowire.ParseError(n)
			return false
		}
		r.all, r.b = r.b[:n+1], r.b[n+1:]
		return true
	}
	return false
}

// beyond takes a field that has no case for sure.
func (r *reader) beyond() {
	number, _, n := protowire.ConsumeField(r.b)
	if n < 0 {
		r.err = protowire.ParseError(n)
		return
	}
	r.odd = number < 16 && r.tag >= 0x80
	r.rest, r.b = append(r.rest, r.b[:n]...), r.b[n:]
}

// skip leaves the field to package proto.
func (r *reader) skip() { r.rest = append(r.rest, r.all...) }

// end gives the message what was left over, or all of it; data is the whole.
func (r *reader) end(data []byte, m proto.Message) error {
	switch {
	case r.err != nil:
		return r.err
	case r.odd:
		return proto.Unmarshal(data, m)
	case len(r.rest) > 0:
		return proto.UnmarshalOptions{Merge: true}.Unmarshal(r.rest, m)
	}
	return nil
}

// text is the value as a string, which shares its bytes: nobody changes them.
func (r *reader) text() string {
	if !utf8.Valid(r.long) {
		r.err = errText
		return ""
	}
	return unsafe.String(unsafe.SliceData(r.long), len(r.long))
}

// same is text, without another string when it is the same as before.
func (r *reader) same(before string) string {
	if string(r.long) == before {
		return before
	}
	return strings.Clone(r.text())
}

// bytes is the value, which cannot be appended to in place.
func (r *reader) bytes() []byte { return r.long[:len(r.long):len(r.long)] }
