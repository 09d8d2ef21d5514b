package codec

import (
	"slices"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// arena gives short messages their memory, some at a time: whoever keeps one keeps no more
// than that many. A long one is by itself.
type arena struct {
	messages []pb.Message
	used     int // of them
	bytes    []byte
	filled   int // of them
}

// Of an arena at once: messages, and bytes for them. Both are nearly as large as an object
// of Go's heap can be, and of sizes of which it has several in a span: spans are what takes
// the collector's time when nothing is kept.
const (
	arenaMessages = 13
	arenaBytes    = 3 << 10
)

// arenaLong is of how many bytes something has its memory by itself: else it could keep
// much more than itself, or leave much of an arena unused.
const arenaLong = arenaBytes / 4

// message gives an empty message, for one of so many bytes.
func (a *arena) message(size int) *pb.Message {
	if size >= arenaLong {
		return new(pb.Message)
	}
	if a.used == len(a.messages) {
		a.messages, a.used = make([]pb.Message, arenaMessages), 0
	}
	a.used++
	return &a.messages[a.used-1]
}

// clone gives bytes of its own for data, with room behind.
func (a *arena) clone(data []byte, room int) []byte {
	if len(data) >= arenaLong && room == 0 {
		return slices.Clip(append([]byte(nil), data...)) // which clears nothing
	}
	return append(a.space(len(data), room), data...)
}

// space gives memory for so many bytes, with room behind.
func (a *arena) space(size, room int) []byte {
	n := size + room
	if n >= arenaLong {
		return make([]byte, 0, n)
	}
	if n > len(a.bytes)-a.filled {
		a.bytes, a.filled = make([]byte, arenaBytes), 0
	}
	b := a.bytes[a.filled:][:0:n]
	a.filled += n
	return b
}
