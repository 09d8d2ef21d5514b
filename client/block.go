package client

import (
	"math/bits"

	"google.golang.org/grpc/mem"

	"github.com/peerbus/peerbus/protocol/codec"
)

// block is posts whose numbers follow each other, and their bytes, as they go to the bus:
//
//	posts   │ 7            │ 8      │ 9      │ 10           │      where each ends
//	data    │ head content │ sequel │ sequel │ head content │
//
// Whole ones are behind a head that has their number and nothing else, as most have. One
// that is like the one before but for id and body is its sequel. So those that
// stand side by side go into a frame in one piece, and to forget them is to set bits.
//
// gRPC reads from the memory, which is used again once the block and gRPC have let go of it.
type block struct {
	first  uint64 // number of the first post
	posts  []post
	data   []byte
	gone   uint64     // bit by bit, the posts that are over
	own    uint64     // those that get a head of their own when they are written
	whole  uint64     // those that are no sequels
	open   uint64     // the row of the last one (codec.Content.Row)
	mixed  bool       // they are for several receivers
	memory mem.Buffer // that data is in; nil once the block is over
}

// post is one of a block.
type post struct {
	end      int32 // of its bytes in data; a post is smaller than 2 GiB
	sum      int32 // of the sizes of the posts up to it, at most, if all were whole
	receiver int32 // of a ledger that keeps
}

// blockPosts is how many posts share a block at most: the bits of its marks.
const blockPosts = 64

// longPosts is how many posts share the block of one that takes most of a usual one.
const longPosts = 4

// newBlock makes one for a post whose content has so many bytes, and has that number, and
// for some more behind it.
func newBlock(number uint64, size int) *block {
	b, posts := codec.Buffers.Get(max(codec.FullFrame, codec.MaxHead+size)), blockPosts
	if size > codec.FullFrame/2 {
		posts = longPosts
	}
	return &block{first: number, posts: make([]post, 0, posts), data: (*b)[:0], memory: mem.NewBuffer(b, codec.Buffers)}
}

// takes tells whether a post whose content has so many bytes may be its next one.
func (b *block) takes(number uint64, size int) bool {
	return len(b.posts) < cap(b.posts) && b.number(len(b.posts)) == number && len(b.data)+codec.MaxHead+size <= cap(b.data)
}

// add encodes a post as the next one, with that number; one without (0) is no sequel.
func (b *block) add(c *codec.Content, number uint64) (err error) {
	data, row := b.data, c.Row()
	sequel := row != 0 && row == b.open && number > 0
	if sequel {
		data, err = c.AppendSequel(data)
	} else {
		data, err = c.Append(codec.AppendHead(data, codec.Head{Number: number}, c.Size()))
	}
	if err != nil {
		return err
	}
	if b.open = row; !sequel {
		b.whole |= 1 << len(b.posts)
	}
	b.data = data
	b.posts = append(b.posts, post{end: int32(len(data)), sum: b.sum(len(b.posts)) + int32(c.Size()+c.LeftOut()+codec.MaxPlainHead)}) // as post says
	return nil
}

// to notes the receiver of the last post.
func (b *block) to(receiver int32) {
	b.posts[len(b.posts)-1].receiver = receiver
	b.mixed = b.mixed || receiver != b.posts[0].receiver
}

// free gives back the memory.
func (b *block) free() {
	b.memory.Free()
	*b = block{first: b.first}
}

// over tells whether it has been freed.
func (b *block) over() bool { return b.memory == nil }

// empty tells whether all of its posts are gone.
func (b *block) empty() bool { return b.gone == upTo(len(b.posts)) }

// sparse tells whether most of its memory is of posts that are gone.
func (b *block) sparse() bool {
	_, size := b.count(upTo(len(b.posts)) &^ b.gone)
	return size < cap(b.data)/2
}

// number gives that of a post.
func (b *block) number(i int) uint64 { return b.first + uint64(i) } // a place

// place gives that of the first post with this number, or a higher one.
func (b *block) place(number uint64) int {
	if number <= b.first {
		return 0
	}
	return int(min(number-b.first, uint64(len(b.posts)))) // a place
}

// from is where the bytes of a post begin.
func (b *block) from(i int) int32 {
	if i == 0 {
		return 0
	}
	return b.posts[i-1].end
}

// bytes gives those of some posts, one of them at least, which stand side by side.
func (b *block) bytes(i, n int) []byte { return b.data[b.from(i):b.posts[i+n-1].end] }

// sum is that of the sizes of the first posts.
func (b *block) sum(n int) int32 {
	if n == 0 {
		return 0
	}
	return b.posts[n-1].sum
}

// size is that of some posts, if all were whole.
func (b *block) size(i, n int) int { return int(b.sum(i+n) - b.sum(i)) }

// row is how many posts from i on are there and need no other head, and can be written at
// once: sequels of the first, or whole ones.
func (b *block) row(i int, sequels bool) int {
	n := min(len(b.posts)-i, bits.TrailingZeros64((b.gone|b.own)>>i))
	whole := b.whole >> i
	followed := ^whole >> 1 & upTo(len(b.posts)-1-i) // by a sequel
	if !sequels {
		followed = 0
	}
	if alone := bits.TrailingZeros64(^(whole &^ followed)); alone > 0 {
		return min(n, alone)
	}
	if !sequels {
		return min(n, 1)
	}
	return min(n, 1+bits.TrailingZeros64(whole>>1))
}

// sizeInFrame is what those of a row take of a frame, in bytes: the first is made whole.
func (b *block) sizeInFrame(i, n int) int {
	if b.isWhole(i) {
		return codec.MaxPlainHead + int(b.from(i+n)-b.from(i))
	}
	return b.size(i, 1) + int(b.from(i+n)-b.from(i+1))
}

// leftOut is how many bytes the sequels of some posts leave out of a frame, about; 0 where there
// are none.
func (b *block) leftOut(i, n int) int {
	return max(0, b.size(i, n)-n*codec.MaxPlainHead-int(b.from(i+n)-b.from(i)))
}

// isWhole tells whether a post is no sequel.
func (b *block) isWhole(i int) bool { return b.whole>>i&1 == 1 }

// leader is the place of the first post of the row that one is in.
func (b *block) leader(i int) int { return bits.Len64(b.whole&upTo(i+1)) - 1 }

// heading is that of the row of a sequel.
func (b *block) heading(i int) codec.Heading {
	return codec.HeadingOf(codec.CutHead(b.bytes(b.leader(i), 1)))
}

// upTo gives the bits of the first n posts, between those of some.
func upTo(n int) uint64 { return 1<<n - 1 } // all of them, if n is 64

// count gives the number of posts that are marked, and their size.
func (b *block) count(marked uint64) (posts, size int) {
	for marked != 0 {
		i := bits.TrailingZeros64(marked)
		n := bits.TrailingZeros64(^(marked >> i))
		posts += n
		size += b.size(i, n)
		marked &^= upTo(n) << i
	}
	return posts, size
}

// shrink keeps the memory of the posts that are there. The first of a row is whole then.
func (b *block) shrink() {
	there := upTo(len(b.posts)) &^ b.gone
	_, size := b.count(there)
	first, end := bits.TrailingZeros64(there), bits.Len64(there)
	posts, data, whole := make([]post, 0, end-first), make([]byte, 0, size), uint64(0)
	for i, leader := first, -1; i < end; i++ {
		switch {
		case there>>i&1 == 0:
		case b.leader(i) == leader:
			data = append(data, b.bytes(i, 1)...)
		default:
			leader = b.leader(i)
			whole |= 1 << (i - first)
			data = b.appendWhole(data, i)
		}
		posts = append(posts, post{int32(len(data)), b.sum(i+1) - b.sum(first), b.posts[i].receiver}) // as post says
	}
	b.memory.Free()
	*b = block{
		first: b.number(first), posts: posts, data: data, memory: mem.SliceBuffer(data),
		gone: b.gone >> first & upTo(len(posts)), own: b.own >> first, whole: whole, mixed: b.mixed,
	}
}

// appendWhole appends a post, whole.
func (b *block) appendWhole(data []byte, i int) []byte {
	bytes := b.bytes(i, 1)
	if b.isWhole(i) {
		return append(data, bytes...)
	}
	heading := b.heading(i)
	data = codec.AppendHead(data, codec.Head{Number: b.number(i)}, heading.ContentSize(bytes))
	return heading.AppendContent(data, bytes)
}
