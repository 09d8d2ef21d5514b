package codec

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

var (
	errText    = errors.New("a text is not UTF-8")
	errSequels = errors.New("malformed sequels")
)

// reader goes through the fields of a message, and sorts out those that package proto
// is to read: rest is for its fields without a case here; odd says that it has to read
// the whole, as the message is encoded as no encoder does it (a tag that is longer than
// it must be, a message twice).
type reader struct {
	b    []byte // the whole
	at   int    // where its next field begins
	from int    // where the field began, with its tag
	tag  byte   // of the field
	v    uint64 // its value, when it is a varint
	long []byte // its value, when it is bytes
	rest []byte
	odd  bool
	err  error
}

// next goes to the next field that may have a case; false at the end, or with an error.
func (r *reader) next() bool {
	for r.at < len(r.b) && r.err == nil && !r.odd {
		r.tag, r.from = r.b[r.at], r.at
		if kind := r.tag & 7; r.tag >= 0x80 || r.tag < 1<<3 || kind != varint && kind != bytes {
			r.beyond()
			continue
		}
		v, n := uvarint(r.b[r.at+1:])
		if n < 0 {
			r.err = protowire.ParseError(n)
			return false
		}
		r.at += 1 + n
		if r.v = v; r.tag&7 == varint {
			return true
		}
		if v > uint64(len(r.b)-r.at) {
			r.err = io.ErrUnexpectedEOF
			return false
		}
		r.long = r.b[r.at:][:v]
		r.at += len(r.long)
		return true
	}
	return false
}

// uvarint is protowire.ConsumeVarint; most are one byte.
func uvarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

// takes is next of a field that has a certain tag, and is bytes of a usual length. If it
// is not, next is to see it.
func (r *reader) takes(tag byte) (value []byte, ok bool) {
	b := r.b[r.at:]
	if len(b) < 3 || b[0] != tag {
		return nil, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		if b[2] >= 0x80 {
			return nil, false
		}
		n, head = n&0x7f|int(b[2])<<7, 3
	}
	if n > len(b)-head {
		return nil, false
	}
	r.at += head + n
	return b[head:][:n], true
}

// done tells whether all has been read, and nothing is left to package proto.
func (r *reader) done() bool {
	return r.at == len(r.b) && r.err == nil && !r.odd && len(r.rest) == 0
}

// beyond takes a field that has no case for sure.
func (r *reader) beyond() {
	number, _, n := protowire.ConsumeField(r.b[r.at:])
	if n < 0 {
		r.err = protowire.ParseError(n)
		return
	}
	r.odd = number < 16 && r.tag >= 0x80
	r.at += n
	r.skip()
}

// skip leaves the field to package proto.
func (r *reader) skip() { r.rest = append(r.rest, r.b[r.from:r.at]...) }

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

// isText is utf8.Valid of bytes that are mostly ASCII, and few.
func isText(b []byte) bool {
	const beyond = 0x8080808080808080 // the highest bit of each byte
	if len(b) < 8 {
		return utf8.Valid(b)
	}
	all := binary.LittleEndian.Uint64(b[len(b)-8:])
	for at := 0; len(b)-at > 8; at += 8 {
		all |= binary.LittleEndian.Uint64(b[at:])
	}
	return all&beyond == 0 || utf8.Valid(b)
}

// checks tells whether bytes are a text.
func (r *reader) checks(text []byte) bool {
	if utf8.Valid(text) {
		return true
	}
	r.err = errText
	return false
}

// text is the value as a string, which shares its bytes: nobody changes them.
func (r *reader) text() string {
	if !r.checks(r.long) {
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
