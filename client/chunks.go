package client

import (
	"google.golang.org/grpc/mem"

	"github.com/peerbus/peerbus/protocol/codec"
)

// chunks is the memory of encoded posts: short ones share arrays, one behind the other,
// and a long one has its own, which gRPC reads from. An array is used again once all
// that is in it is free, and gRPC has let go of it.
type chunks struct {
	table slots[*chunk]
	open  int32 // the place of the one that short posts go to
	has   bool  // there is one
	short int   // arrays that have short posts
	bytes int   // of short posts that are not free
}

type chunk struct {
	data  []byte // what is filled
	live  int    // bytes of it that are not free
	array *[]byte
	long  mem.Buffer // of a long post
}

// longFrom is from how many bytes on a post is not copied into its frame.
const longFrom = 8 << 10

// place is where an encoded post is in the memory of chunks.
type place struct {
	chunk, from, length int32 // a post is smaller than 2 GiB
}

// add gives memory for a post of so many bytes.
func (c *chunks) add(size int) place {
	p := place{length: int32(size)} //nolint:gosec // as place says
	if size >= longFrom {
		b := codec.Buffers.Get(size)
		p.chunk = c.table.put(&chunk{data: *b, live: size, long: mem.NewBuffer(b, codec.Buffers)})
		return p
	}
	in := c.at(size)
	p.chunk, p.from = c.open, int32(len(in.data)) //nolint:gosec // as place says
	in.data = in.data[:len(in.data)+size]
	in.live += size
	c.bytes += size
	return p
}

// at gives the chunk that has room for a short post.
func (c *chunks) at(size int) *chunk {
	if c.has {
		if in := c.table.all[c.open]; len(in.data)+size <= cap(in.data) {
			return in
		}
	}
	b := codec.Buffers.Get(codec.FullFrame)
	in := &chunk{data: (*b)[:0], array: b}
	c.open, c.has = c.table.put(in), true
	c.short++
	return in
}

// of gives the chunk of a post, and its bytes.
func (c *chunks) of(p place) (*chunk, []byte) {
	in := c.table.all[p.chunk]
	return in, in.data[p.from:][:p.length:p.length]
}

// free gives back the memory of a post.
func (c *chunks) free(p place) {
	in := c.table.all[p.chunk]
	in.live -= int(p.length)
	if in.long == nil {
		c.bytes -= int(p.length)
	}
	switch {
	case in.live > 0:
		return
	case in.long != nil:
		in.long.Free()
	case c.has && p.chunk == c.open:
		in.data = in.data[:0]
		return
	default:
		codec.Buffers.Put(in.array)
		c.short--
	}
	c.table.drop(p.chunk)
}

// close has the next short post begin another array.
func (c *chunks) close() {
	if c.has && c.table.all[c.open].live > 0 {
		c.has = false
	}
}

// sparse tells whether there is so little in the arrays of short posts that it should be
// moved together: a post that stays for long keeps a whole one.
func (c *chunks) sparse() bool { return c.short > 16 && c.bytes < c.short*codec.FullFrame/4 }
