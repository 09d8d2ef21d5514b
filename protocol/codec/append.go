package codec

import "google.golang.org/protobuf/encoding/protowire"

// What goes into a frame piece by piece is written in its order, unlike a whole one (writer).

// appendLength begins a field of so many bytes.
func appendLength(b []byte, field byte, n int) []byte {
	if n < 0x80 {
		return append(b, tag(field, bytes), byte(n))
	}
	return protowire.AppendVarint(append(b, tag(field, bytes)), uint64(n)) // a size
}

// appendText adds a field, unless it is empty.
func appendText(b []byte, field byte, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendLength(b, field, len(s)), s...)
}

// appendBytes adds a field, unless it is empty.
func appendBytes(b []byte, field byte, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return append(appendLength(b, field, len(v)), v...)
}

// appendNumber adds a field, unless it is 0.
func appendNumber(b []byte, field byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag(field, varint)), v)
}
