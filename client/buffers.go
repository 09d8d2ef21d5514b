package client

import (
	"sync"

	"google.golang.org/grpc/mem"
)

// arrays is a mem.BufferPool of arrays of one size. Unlike gRPC's own it does not clear
// what it gives, which is written over.
type arrays struct {
	size int
	pool sync.Pool
}

var (
	// largeArrays have room for a full frame with the heads of its posts.
	largeArrays = &arrays{size: frameBytes + 4<<10}
	// smallArrays are for frames of a few posts. What is smaller is not counted by gRPC.
	smallArrays = &arrays{size: 2 << 10}
)

// Get is of mem.BufferPool.
func (a *arrays) Get(size int) *[]byte {
	b, ok := a.pool.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, a.size)
		b = &fresh
	}
	*b = (*b)[:size]
	return b
}

// Put is of mem.BufferPool.
func (a *arrays) Put(b *[]byte) { a.pool.Put(b) }

// array gives one of so many bytes, and the pool that it goes back to.
func array(size int) (*[]byte, mem.BufferPool) {
	switch {
	case size <= smallArrays.size:
		return smallArrays.Get(size), smallArrays
	case size <= largeArrays.size:
		return largeArrays.Get(size), largeArrays
	}
	b := make([]byte, size)
	return &b, mem.NopBufferPool{}
}
