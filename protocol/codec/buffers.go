package codec

import (
	"sync"

	"google.golang.org/grpc/mem"
)

// Buffers is where the memory of frames comes from, here and in gRPC. Unlike gRPC's own
// pool it does not clear what it gives, which takes as long as a copy: whoever takes it
// writes over all that he hands on.
var Buffers mem.BufferPool = newBuffers(1<<10+128, 2<<10, 4<<10, 8<<10, 16<<10, FullFrame, 32<<10, 64<<10, 128<<10, 256<<10, 512<<10, 1<<20, 2<<20)

// FullFrame is a size in bytes that Buffers has: a frame that stops growing at 16 KiB,
// with what is around its messages.
const FullFrame = 20 << 10

// buffers are pools by the size of what they have, the smallest first. All are larger
// than what gRPC does not give back.
type buffers []*sized

type sized struct {
	size int
	pool sync.Pool
}

func newBuffers(sizes ...int) buffers {
	b := make(buffers, len(sizes))
	for i, size := range sizes {
		b[i] = &sized{size: size}
	}
	return b
}

// Get is of mem.BufferPool.
func (b buffers) Get(size int) *[]byte {
	for _, s := range b {
		if size <= s.size {
			return s.get(size)
		}
	}
	fresh := make([]byte, size)
	return &fresh
}

func (s *sized) get(size int) *[]byte {
	b, ok := s.pool.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, s.size)
		b = &fresh
	}
	*b = (*b)[:size]
	return b
}

// Put is of mem.BufferPool.
func (b buffers) Put(data *[]byte) {
	for _, s := range b {
		if cap(*data) == s.size {
			s.pool.Put(data)
			return
		}
	}
}
