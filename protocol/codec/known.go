package codec

import "unsafe"

// known are texts of the message before, most of which are the next one's too: then they
// are the same strings, and need no check. It also says who keeps the bytes of what is
// read. nil knows nothing.
type known struct {
	texts  [4]string
	copies *arena // takes copies of what is kept; without one the message shares its bytes
	brief  bool   // the message is short, so that its bytes may be kept with a text
}

const (
	knownListener = iota
	knownType
	knownFrom
	knownTo
)

// begin is for the next message, of so many bytes.
func (k *known) begin(size int) {
	if k != nil {
		k.brief = k.copies != nil || size <= arenaBytes
	}
}

// own gives bytes that the message may keep.
func (k *known) own(b []byte) []byte {
	if k == nil || k.copies == nil {
		return b[:len(b):len(b)]
	}
	return k.copies.clone(b, 0)
}

// value is the value as bytes, which cannot be appended to in place.
func (k *known) value(r *reader) []byte { return k.own(r.long) }

// new is the value as a string that is mostly another one each time.
func (k *known) new(r *reader) string {
	if !r.valid() {
		return ""
	}
	b := k.own(r.long)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// text is new, without another string when it is the same as before.
func (k *known) text(which int, r *reader) string {
	if k == nil {
		return k.new(r)
	}
	before := &k.texts[which]
	if string(r.long) == *before {
		return *before
	}
	s := k.new(r)
	if k.brief {
		*before = s
	}
	return s
}
