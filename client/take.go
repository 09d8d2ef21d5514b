package client

import (
	"math/bits"
	"time"

	"github.com/peerbus/peerbus/protocol/codec"
)

// most bounds the bytes that take copies into a frame.
func (l *ledger) most() int { return min(l.queued, codec.FullFrame) }

// take writes the next frame's worth of posts into a frame.
func (l *ledger) take(f *frame, now time.Time) {
	for posts, bytes, left := 0, 0, 0; l.waiting > 0 && posts < codec.FrameMessages && left < leftOutBytes; {
		b, i := l.first()
		n := l.alike(b, i, f.sequels, codec.FrameMessages-posts, frameBytes-bytes)
		size := b.sizeInFrame(i, n)
		if posts > 0 && bytes+size > codec.FrameLimit(size/n) {
			break
		}
		posts += n
		bytes += size
		left += b.leftOut(i, n)
		l.write(f, b, i, n, now)
	}
	if l.waiting == 0 {
		l.usual.Forget()
	}
	l.compact()
}

// leftOutBytes is how many bytes those of a frame that are written at once leave out at most, and
// all but the last of these: a bus takes twice that.
const leftOutBytes = 512 << 10

// first gives the block of the first post that is queued, and its place there.
func (l *ledger) first() (b *block, i int) {
	for {
		b = l.blocks[l.at]
		i = b.place(l.next)
		i += bits.TrailingZeros64(^(b.gone >> i))
		if i < len(b.posts) {
			return b, i
		}
		l.at++
	}
}

// alike gives how many posts from one on can be written at once, in so many bytes; it
// is one at least.
func (l *ledger) alike(b *block, i int, sequels bool, most, bytes int) int {
	n := min(b.row(i, sequels), most)
	if l.again(b, i) {
		n = 1
	}
	for n > 1 && (b.sizeInFrame(i, n) > bytes || b.leftOut(i, n) > leftOutBytes) {
		n--
	}
	return max(n, 1)
}

// again tells whether a post has been written before.
func (l *ledger) again(b *block, i int) bool { return b.number(i) <= l.written }

// write writes posts of a block that are alike.
func (l *ledger) write(f *frame, b *block, i, n int, now time.Time) {
	if plain := b.own>>i&1 == 0 && !l.again(b, i); plain && b.isWhole(i) && (n == 1 || b.isWhole(i+1)) {
		f.add(b.bytes(i, n), b.memory)
	} else {
		l.writeRow(f, b, i, n, now)
	}
	last := b.number(i + n - 1)
	l.written, l.next = max(l.written, last), last+1
	l.waiting -= n
	l.queued -= b.size(i, n) + n*recordCost
	if !l.keep {
		l.remove(b, upTo(n)<<i)
	}
}

// writeRow writes a post, and others that are its sequels.
func (l *ledger) writeRow(f *frame, b *block, i, n int, now time.Time) {
	first, sequels := b.bytes(i, 1), b.bytes(i, n)
	sequels = sequels[len(first):]
	head := l.head(b.number(i), now)
	if b.isWhole(i) {
		content := codec.CutHead(first)
		f.head(head, len(content)+len(sequels))
		f.add(content, b.memory)
	} else {
		heading := b.heading(i)
		f.head(head, heading.ContentSize(first)+len(sequels))
		f.b = heading.AppendContent(f.b, first)
	}
	f.add(sequels, b.memory)
}

// head makes that of a post which is written again, or which somebody waits for.
func (l *ledger) head(number uint64, now time.Time) codec.Head {
	w, h := l.waits[number], l.plain(number)
	h.Sequence, h.Wait, h.Again = w.sequence, w.wait, number <= l.written
	if w.deadline != 0 {
		h.Timeout = max(w.deadline-now.Sub(l.began), time.Millisecond)
	}
	return h
}

// rewind queues all that is kept, in order, for a new stream.
func (l *ledger) rewind() {
	l.next, l.at, l.waiting, l.queued = 0, 0, 0, l.held
	for _, b := range l.blocks {
		l.waiting += len(b.posts) - bits.OnesCount64(b.gone)
	}
}
