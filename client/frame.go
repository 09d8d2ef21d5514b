package client

import (
	"sync/atomic"

	"google.golang.org/grpc/mem"

	"github.com/peerbus/peerbus/protocol/codec"
)

// frame is an AttachRequest that is put together of what is encoded already. It is the
// mem.BufferPool of its array: what gRPC has of it is counted until it is written.
type frame struct {
	codec.Encoded
	held  *atomic.Int64 // bytes that gRPC has
	array mem.Buffer
	b     []byte // of the array
	from  int    // of b: up to there it is in parts
}

// newFrame makes one for size bytes at most, besides long posts.
func newFrame(size int, held *atomic.Int64) *frame {
	b := codec.Buffers.Get(size)
	held.Add(int64(len(*b)))
	f := &frame{held: held, b: (*b)[:0]}
	f.array = mem.NewBuffer(b, f)
	return f
}

// head begins a post whose content of so many bytes is to follow.
func (f *frame) head(h codec.Head, content int) { f.b = codec.AppendHead(f.b, h, content) }

// add adds bytes of a block.
func (f *frame) add(data []byte, long mem.Buffer) {
	if long == nil {
		f.b = append(f.b, data...)
		return
	}
	f.long(data, long)
}

// long adds bytes that gRPC reads where they are.
func (f *frame) long(data []byte, of mem.Buffer) {
	f.cut()
	of.Ref()
	f.held.Add(int64(len(data)))
	f.Parts = append(f.Parts, mem.NewBuffer(&data, &lent{f.held, of}))
}

func (f *frame) credit(listener string, bytes uint32) { f.b = codec.AppendCredit(f.b, listener, bytes) }

// cut makes a part of what was added.
func (f *frame) cut() {
	if f.from < len(f.b) {
		f.Parts = append(f.Parts, f.array.Slice(f.from, len(f.b)))
		f.from = len(f.b)
	}
}

// encoded is the whole. Nothing is added any more.
func (f *frame) encoded() *codec.Encoded {
	f.cut()
	f.array.Free()
	return &f.Encoded
}

// Get is of mem.BufferPool; nobody calls it.
func (f *frame) Get(size int) *[]byte { return codec.Buffers.Get(size) }

// Put is of mem.BufferPool.
func (f *frame) Put(b *[]byte) {
	f.held.Add(-int64(len(*b)))
	codec.Buffers.Put(b)
}

// lent is the mem.BufferPool of a long post that gRPC reads from.
type lent struct {
	held *atomic.Int64
	of   mem.Buffer
}

// Get is of mem.BufferPool; nobody calls it.
func (*lent) Get(size int) *[]byte { return codec.Buffers.Get(size) }

// Put is of mem.BufferPool.
func (l *lent) Put(data *[]byte) {
	l.held.Add(-int64(len(*data)))
	l.of.Free()
}
