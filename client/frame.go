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
	sequels bool          // the bus takes them
	held    *atomic.Int64 // bytes that gRPC has
	array   mem.Buffer
	b       []byte // of the array
	from    int    // of b: up to there it is in parts
}

// newFrame makes one for size bytes at most, besides those that gRPC reads where they are.
func newFrame(size int, w *writer) *frame {
	b := codec.Buffers.Get(size)
	w.held.Add(int64(len(*b)))
	f := &frame{sequels: w.sequels, held: &w.held, b: (*b)[:0]}
	f.array = mem.NewBuffer(b, f)
	return f
}

// head begins a post whose content of so many bytes is to follow.
func (f *frame) head(h codec.Head, content int) { f.b = codec.AppendHead(f.b, h, content) }

// lentFrom is from how many bytes on gRPC reads them where they are: to note fewer costs
// more than to copy them. mem.NewBuffer does not tell when as few as 1 KiB are free.
const lentFrom = 2 << 10

// add adds bytes that are in some memory.
func (f *frame) add(data []byte, in mem.Buffer) {
	if len(data) < lentFrom {
		f.b = append(f.b, data...)
		return
	}
	f.lend(data, in)
}

func (f *frame) lend(data []byte, in mem.Buffer) {
	f.cut()
	in.Ref()
	f.held.Add(int64(len(data)))
	f.Parts = append(f.Parts, mem.NewBuffer(&data, &lent{f.held, in}))
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

// lent is the mem.BufferPool of bytes that gRPC reads where they are.
type lent struct {
	held *atomic.Int64
	in   mem.Buffer
}

// Get is of mem.BufferPool; nobody calls it.
func (*lent) Get(size int) *[]byte { return codec.Buffers.Get(size) }

// Put is of mem.BufferPool.
func (l *lent) Put(data *[]byte) {
	l.held.Add(-int64(len(*data)))
	l.in.Free()
}
