package client

import "google.golang.org/grpc/mem"

// chunks is the memory of encoded posts: short ones share arrays, one behind the other,
// and a long one has its own, which gRPC reads from. An array is used again once all
// that is in it is free, and gRPC has let go of it.
type chunks struct {
	open  *chunk // short posts go there
	short int    // arrays that have short posts
	bytes int    // of short posts that are not free
}

type chunk struct {
	data  []byte // what is filled
	live  int    // bytes of it that are not free
	array *[]byte
	long  mem.Buffer // of a long post
}

// longFrom is from how many bytes on a post is not copied into its frame.
const longFrom = 8 << 10

// add gives memory for a post of so many bytes: those of a chunk that begin at from.
func (c *chunks) add(size int) (in *chunk, from int) {
	if size >= longFrom {
		b, pool := array(size)
		return &chunk{data: *b, live: size, long: mem.NewBuffer(b, pool)}, 0
	}
	if c.open == nil || len(c.open.data)+size > cap(c.open.data) {
		b := largeArrays.Get(largeArrays.size)
		c.open = &chunk{data: (*b)[:0], array: b}
		c.short++
	}
	in, from = c.open, len(c.open.data)
	in.data = in.data[:from+size]
	in.live += size
	c.bytes += size
	return in, from
}

// free gives back the memory of a post.
func (c *chunks) free(in *chunk, size int) {
	in.live -= size
	if in.long == nil {
		c.bytes -= size
	}
	switch {
	case in.live > 0:
	case in.long != nil:
		in.long.Free()
	case in == c.open:
		in.data = in.data[:0]
	default:
		largeArrays.Put(in.array)
		in.array, in.data = nil, nil
		c.short--
	}
}

// sparse tells whether there is so little in the arrays of short posts that it should be
// moved together: a post that stays for long keeps a whole one.
func (c *chunks) sparse() bool { return c.short > 16 && c.bytes < c.short*largeArrays.size/4 }
