package codec

import (
	"encoding/binary"
	"io"

	"google.golang.org/grpc/mem"
)

// gathered is a frame that a bus reads, in one piece. What came in several, as gRPC reads
// it from 16 KiB on, is in memory of ours, where a message that is most of it can stay:
//
//	front │ frame: what is around it │ message │ room
type gathered struct {
	data   []byte     // the frame; its capacity ends with the room
	memory *[]byte    // of Buffers; nil when it is somebody else's, or was taken
	front  int        // bytes of memory before the frame
	lent   mem.Buffer // of gRPC; nil when it is in memory of ours
}

// front is room for the head of a delivery: tags, lengths and the name of a listener.
const front = 160

// gather puts a frame together. There is room behind it if it is in memory of ours.
func gather(parts mem.BufferSlice, room int) gathered {
	if len(parts) == 1 {
		parts[0].Ref()
		return gathered{data: parts[0].ReadOnlyData(), lent: parts[0]}
	}
	size := parts.Len()
	if size > longestPlain+front { // memory of Buffers could be twice as large
		b := joined(parts, size, room)
		return gathered{data: b, memory: &b}
	}
	f := newGathered(size, room)
	parts.CopyTo(f.data)
	return f
}

// newGathered gives memory of Buffers for a frame, or a piece of one.
func newGathered(size, room int) gathered {
	memory := Buffers.Get(front + size + room)
	return gathered{data: (*memory)[front : front+size : front+size+room], memory: memory, front: front}
}

// gatherPiece is gather of the next bytes of a frame.
func gatherPiece(from *mem.Reader, size, room int) gathered {
	f := newGathered(size, room)
	_, _ = io.ReadFull(from, f.data) // they are there
	return f
}

// pieces gives where the pieces end in which a frame is put together that has more than one
// long message (FrameLimit): each of those is one, and so is what is short between them. None
// for any other frame, or one with a field that is not as all encoders have it.
func pieces(data mem.BufferSlice) (ends []int) {
	size := data.Len()
	if len(data) == 1 || size <= FullFrame {
		return nil
	}
	r := data.Reader()
	defer r.Close()
	for last := 0; r.Remaining() > 0; {
		at := size - r.Remaining()
		if !skipField(r) {
			return nil
		}
		end := size - r.Remaining()
		switch long := end-at >= longFrom; {
		case end-at > longestPlain:
			return nil
		case long && at > last:
			ends = append(ends, at, end)
		case long || r.Remaining() == 0:
			ends = append(ends, end)
		default:
			continue
		}
		last = end
	}
	return ends
}

// skipField skips a field of bytes; false when that is not what comes.
func skipField(r *mem.Reader) bool {
	t, err := r.ReadByte()
	if err != nil || t >= 0x80 || t&7 != bytes {
		return false
	}
	size, err := binary.ReadUvarint(r)
	if err != nil || size > uint64(r.Remaining()) { // not negative
		return false
	}
	_, err = r.Discard(int(size)) // bounded above
	return err == nil
}

// free gives the memory back, unless it was taken.
func (f *gathered) free() {
	switch {
	case f.lent != nil:
		f.lent.Free()
	case f.memory != nil:
		Buffers.Put(f.memory)
	}
	*f = gathered{}
}

// holds tells whether a message is the end of the frame, and most of its memory.
func (f *gathered) holds(message []byte, room int) bool {
	return f.memory != nil && 2*len(message) >= cap(*f.memory) && cap(message)-len(message) == room
}

// take gives a message its place in the frame, with room behind it, if it holds the
// memory, which is the message's then; else nil.
func (f *gathered) take(message []byte, room int) []byte {
	if !f.holds(message, room) {
		return nil
	}
	f.memory = nil
	return message
}
