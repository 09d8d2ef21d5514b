package client

import (
	"sync/atomic"

	"google.golang.org/grpc/mem"

	"github.com/peerbus/peerbus/protocol/codec"
)

// frame is an AttachRequest that is put together of what is encoded already.
type frame struct {
	held  *atomic.Int64 // bytes that gRPC has
	array mem.Buffer
	b     []byte // of the array
	from  int    // of b: up to there it is in parts
	parts mem.BufferSlice
}

// newFrame makes one for size bytes at most, besides long posts. What gRPC has of it is
// counted in held until it is written.
func newFrame(size int, held *atomic.Int64) *frame {
	b := codec.Buffers.Get(size)
	return &frame{held: held, b: (*b)[:0], array: mem.NewBuffer(b, count(len(*b), held, func() { codec.Buffers.Put(b) }))}
}

// post adds one, whose bytes are those of a chunk.
func (f *frame) post(h codec.Head, in *chunk, content []byte) {
	f.b = codec.AppendHead(f.b, h, len(content))
	if in.long == nil {
		f.b = append(f.b, content...)
		return
	}
	f.long(in, content)
}

// long adds a post that gRPC reads where it is.
func (f *frame) long(in *chunk, content []byte) {
	f.cut()
	in.long.Ref()
	f.parts = append(f.parts, mem.NewBuffer(&content, count(len(content), f.held, in.long.Free)))
}

func (f *frame) credit(listener string, bytes uint32) { f.b = codec.AppendCredit(f.b, listener, bytes) }

// cut makes a part of what was added.
func (f *frame) cut() {
	if f.from < len(f.b) {
		f.parts = append(f.parts, f.array.Slice(f.from, len(f.b)))
		f.from = len(f.b)
	}
}

// encoded is the whole. Nothing is added any more.
func (f *frame) encoded() *codec.Encoded {
	f.cut()
	f.array.Free()
	return &codec.Encoded{Parts: f.parts}
}

// counted is a mem.BufferPool for a buffer that counts while it is not free.
type counted struct {
	bytes int
	held  *atomic.Int64
	free  func()
}

func count(bytes int, held *atomic.Int64, free func()) *counted {
	held.Add(int64(bytes))
	return &counted{bytes, held, free}
}

// Get is of mem.BufferPool; nobody calls it.
func (*counted) Get(size int) *[]byte {
	b := make([]byte, size)
	return &b
}

// Put is of mem.BufferPool.
func (c *counted) Put(*[]byte) {
	c.held.Add(-int64(c.bytes))
	c.free()
}
