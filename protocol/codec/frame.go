package codec

import (
	"slices"

	"google.golang.org/grpc/mem"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Bounds of a frame between a client and its bus, in bytes. Short messages fill 16 KiB, which
// gRPC sends in one piece, and reads without putting it together. Long ones come in several
// pieces anyway, and share a frame, since each frame is much work for gRPC and wakes up a
// handful of goroutines. With what is around them they fit into 64 KiB, which is what gRPC
// lets wait of a stream.
const (
	FrameBytes = 16 << 10
	longFrame  = 60 << 10
)

// FrameMessages is the largest number of messages in a frame between a client and its bus:
// 128 of 64 bytes fill a frame as sequels, where those of 100 bytes reach FrameBytes first.
// A client counts a post by a bound that is up to 31 bytes above its size; FullFrame has
// room for that of 128 posts.
const FrameMessages = 128

// FrameLimit is how large a frame that has other messages may become by a message of this
// size, in bytes.
func FrameLimit(size int) int {
	if size < longFrom {
		return FrameBytes
	}
	return longFrame
}

// frame is the bytes of a frame that is read. Unless it is lent, whoever reads it may
// keep it.
type frame struct {
	data   []byte
	lent   bool
	memory mem.Buffer // who refers to it may use a lent one for longer; may be nil
}

// message reads a field that is a message. It gets bytes of its own, but for one that
// is most of a frame that may be kept.
func (f frame) message(data []byte) (*pb.Message, error) {
	if f.lent || len(data) < len(f.data)/2 {
		data = slices.Clone(data)
	}
	m := new(pb.Message)
	return m, readMessage(data, m, nil)
}

// field is message of a field; one that is there twice is odd.
func (f frame) field(r *reader, have *pb.Message) *pb.Message {
	if have != nil {
		r.odd = true
		return have
	}
	m, err := f.message(r.long)
	if err != nil {
		r.err = err
	}
	return m
}

// batch gives the elements of a repeated field, of which nobody keeps one longer than
// the frame. They are made some at a time, as many as a frame is likely to have.
type batch[M any] struct {
	free []M
	size int
}

const shortest = 128 // bytes of a message and what is around it

func (b *batch[M]) next(f *frame) *M {
	if len(b.free) == 0 {
		b.size = min(64, 1+len(f.data)/shortest)
		b.free = make([]M, b.size)
	}
	m := &b.free[0]
	b.free = b.free[1:]
	return m
}

// list appends one of them.
func (b *batch[M]) list(list []*M, m *M) []*M {
	if list == nil {
		list = make([]*M, 0, b.size)
	}
	return append(list, m)
}
