package codec

import (
	"strings"
	"unsafe"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// keptFrom is the size in bytes from which a frame has bytes that its message may
// keep, if it is one message: it has to be copied together anyway, as gRPC reads in such
// pieces.
const keptFrom = 16 << 10

// whole gives a frame in one piece. If it is for the most part one message, which may keep
// it then, there is room behind it for so many bytes; else it is lent, until free is freed.
func whole(data mem.BufferSlice, room int) (f frame, free mem.Buffer) {
	if size := data.Len(); size >= keptFrom && isOne(data, size) {
		return frame{data: joined(data, size, room)}, mem.SliceBuffer(nil)
	}
	return lentWhole(data)
}

func lentWhole(data mem.BufferSlice) (frame, mem.Buffer) {
	b := data.MaterializeToBuffer(Buffers)
	return frame{data: b.ReadOnlyData(), lent: true}, b
}

// isOne tells whether the first field is most of a frame.
func isOne(data mem.BufferSlice, size int) bool {
	b := data[0].ReadOnlyData()
	_, _, n := protowire.ConsumeTag(b)
	if n < 0 {
		return false
	}
	first, n := protowire.ConsumeVarint(b[n:])
	return n > 0 && first > uint64(size)/2 // a size
}

// joined copies the parts of a frame. The memory is a strings.Builder's, which does not
// clear it before as make does.
func joined(data mem.BufferSlice, size, room int) []byte {
	var b strings.Builder
	b.Grow(size + room)
	for _, part := range data {
		b.Write(part.ReadOnlyData())
	}
	return unsafe.Slice(unsafe.StringData(b.String()), size+room)[:size]
}
