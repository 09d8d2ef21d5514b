package client

import (
	"math/bits"
	"slices"

	"github.com/peerbus/peerbus/protocol/codec"
)

// settle ends the posts with numbers from first to last. One that was never
// written cannot be settled.
func (l *ledger) settle(first, last uint64) {
	last = min(last, l.written)
	for at := l.search(first); at < len(l.blocks) && l.blocks[at].first <= last; at++ {
		b := l.blocks[at]
		l.remove(b, upTo(b.place(last+1))&^upTo(b.place(first)))
	}
	l.compact()
}

// end settles one post, and tells whether it was there.
func (l *ledger) end(number uint64) bool {
	b, i, ok := l.find(number)
	if ok {
		l.remove(b, 1<<i)
		l.compact()
	}
	return ok
}

// drop takes out a post that was never written, and tells whether it was one.
func (l *ledger) drop(number uint64) bool { return number > l.written && l.end(number) }

// remove takes out those posts of a block, bit by bit, that are there.
func (l *ledger) remove(b *block, posts uint64) {
	posts &^= b.gone
	if posts == 0 {
		return
	}
	n, bytes := b.count(posts)
	l.bytes -= bytes
	l.held -= bytes + n*recordCost
	if queued := posts &^ upTo(b.place(l.next)); queued != 0 {
		n, bytes := b.count(queued)
		l.waiting -= n
		l.queued -= bytes + n*recordCost
	}
	if l.keep {
		l.release(b, posts, bytes+n*recordCost)
	}
	for own := posts & b.own; own != 0; own &= own - 1 {
		delete(l.waits, b.number(bits.TrailingZeros64(own)))
	}
	b.gone |= posts
	last := b == l.blocks[len(l.blocks)-1] // which more may be put into
	if b.empty() && (!last || cap(b.data) > codec.FullFrame) {
		l.free(b)
	}
}

// release gives back what posts took of their receivers' share: so many bytes in all.
func (l *ledger) release(b *block, posts uint64, bytes int) {
	if !b.mixed {
		l.receivers.remove(b.posts[bits.TrailingZeros64(posts)].receiver, bytes)
		return
	}
	for ; posts != 0; posts &= posts - 1 {
		i := bits.TrailingZeros64(posts)
		l.receivers.remove(b.posts[i].receiver, b.size(i, 1)+recordCost)
	}
}

// free is for a block that has nothing any more.
func (l *ledger) free(b *block) {
	l.memory -= cap(b.data)
	l.over++
	b.free()
}

// compact forgets the blocks that have nothing once they are the greater part, and has
// those that have little keep no more memory than that.
func (l *ledger) compact() {
	if l.over > len(l.blocks)/2 {
		for _, b := range l.blocks[:l.at] {
			if b.over() {
				l.at--
			}
		}
		l.blocks = slices.DeleteFunc(l.blocks, (*block).over)
		l.over = 0
	}
	if l.sparse() {
		l.shrink()
	}
}

// sparse tells whether the memory is mostly of posts that are gone: one that stays for
// long keeps that of a whole block.
func (l *ledger) sparse() bool { return l.memory > 16*codec.FullFrame && l.bytes < l.memory/4 }

func (l *ledger) shrink() {
	for _, b := range l.blocks[:len(l.blocks)-1] { // the last one has others put into it
		if !b.over() && b.sparse() {
			before := cap(b.data)
			b.shrink()
			l.memory += cap(b.data) - before
		}
	}
}
