package codec

import "google.golang.org/grpc/mem"

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
	memory := Buffers.Get(front + size + room)
	data := (*memory)[front : front+size : front+size+room]
	parts.CopyTo(data)
	return gathered{data: data, memory: memory, front: front}
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
