package client

import (
	"sort"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// ledger is the posts of an attachment in the order in which they go to the bus.
// It has no lock and no clock.
//
//	     written, not settled         queued
//	┌────┬────┬────┬────┬────┬────╥────┬────┬────┐
//	│ 7  │ 8  │  ✓ │ 10 │  ✓ │ 12 ║ 13 │ 14 │ 15 │ ◀── add
//	└────┴────┴────┴────┴────┴────╨────┴────┴────┘
//	                            next ──▶ take
//
// A post is encoded when it is added, in blocks: what it says is the same whenever it is
// written. It has the next number then, and in a ledger that keeps stays until it is
// settled. rewind queues all of them again, for a new stream: that is the whole of
// posting again. In a ledger that does not keep, a post is gone once it is taken.
//
// Nobody has more of the bytes that may be kept than are still free: a receiver
// that does not settle takes a half of them, and leaves room for the others.
type ledger struct {
	keep   bool
	retain int // bytes that may be kept
	began  time.Time

	blocks  []*block        // in the order of their numbers; others are put into the last one while it has room
	over    int             // of blocks: those that have nothing any more, and wait for compact
	waits   map[uint64]wait // by number
	number  uint64          // the last one given
	written uint64          // the last one that was written, on this stream or an earlier one
	next    uint64          // the first one that may be queued
	at      int             // of blocks: where that is, or before it
	waiting int             // posts that wait for the stream
	queued  int             // bytes of them
	held    int             // bytes of all that is not gone
	bytes   int             // of it, those of posts, if all were whole
	memory  int             // bytes of the memory that they are in

	receivers receivers
	row       uint64 // of the post that was added last (codec.Content.Row)
	usual     codec.Usual
	ids       ids
}

// posting is a post on its way into a ledger.
type posting struct {
	content  codec.Content
	sequence uint64
	wait     pb.Wait
	deadline time.Time // what the bus waits for is over then; zero for its default
	expires  bool      // its call ends by itself then
	answers  bool      // it is a response
	receiver int32     // the place of its receiver, while it is measured; -1 for none
	number   uint64    // in the ledger; 0 before it is there
}

// wait is what the head of a post has besides its number.
type wait struct {
	sequence uint64
	wait     pb.Wait
	deadline time.Duration // when what the bus waits for is over, since began; 0 for its default
}

// recordCost is what a post takes in memory besides its bytes: that of a block, as
// it may be the only one of its block that is left.
const recordCost = 128

func newLedger(keep bool, retain int, now time.Time) *ledger {
	return &ledger{
		keep: keep, retain: retain, began: now, waits: map[uint64]wait{}, ids: newIDs(),
		receivers: receivers{places: map[string]int32{}, last: -1},
	}
}

// measure finds what a post takes until the next one is measured. It refuses one whose message the bus could not read,
// which would end the stream.
func (l *ledger) measure(p *posting) error {
	m := p.content.Message
	switch {
	case m == nil:
		return fault.New(fault.BadRequest, "message is missing")
	case m.Id == "":
		p.content.ID(l.ids.of(l.number + 1))
	}
	if p.content.MeasureKnown(&l.usual) {
		if err := message.CheckUTF8("id", m.Id); err != nil {
			return err
		}
	} else {
		if err := message.CheckText(m); err != nil {
			return err
		}
		p.content.Measure(&l.usual)
	}
	if p.content.MessageSize() > message.MaxSize {
		return message.LargerThan(m)
	}
	if row := p.content.Row(); row != 0 && row == l.row {
		p.receiver = l.receivers.last
	} else if l.keep {
		p.receiver = l.receivers.find(m.To)
	}
	return nil
}

// room tells whether a post that is measured may be added; one may always, when there is no other.
func (l *ledger) room(p *posting, outbox int) bool {
	if l.held == 0 {
		return true
	}
	size := p.content.Size() + p.content.LeftOut() + recordCost
	if l.queued > 0 && l.queued+size > outbox {
		return false
	}
	if !l.keep {
		return true
	}
	free, has := l.retain-l.held, l.receivers.bytes(p.receiver)
	return size <= free && (has == 0 || has+size <= free)
}

// add queues a post that has just been measured as the last. It fails when its message is changed meanwhile.
func (l *ledger) add(p *posting) error {
	number := l.number + 1
	b := l.open(number, p.content.Size())
	if err := b.add(&p.content, l.plain(number).Number); err != nil {
		return err
	}
	size := p.content.Size() + p.content.LeftOut() + codec.MaxPlainHead
	l.number, p.number = number, number
	l.bytes += size
	size += recordCost
	l.waiting++
	l.queued += size
	l.held += size
	if l.keep {
		l.row = p.content.Row()
		b.to(l.receivers.add(p.receiver, p.content.Message.To, size))
	}
	if p.sequence != 0 || p.wait != pb.Wait_WAIT_UNSPECIFIED {
		l.await(b, p)
	}
	return nil
}

// plain is the head of a post that nobody waits for, when it is written first.
func (l *ledger) plain(number uint64) codec.Head {
	if !l.keep {
		number = 0
	}
	return codec.Head{Number: number}
}

// open gives the block for the next post, whose content has so many bytes.
func (l *ledger) open(number uint64, size int) *block {
	if last := len(l.blocks) - 1; last >= 0 {
		b := l.blocks[last]
		if b.takes(number, size) {
			return b
		}
		if !b.over() && b.empty() {
			l.free(b)
		}
	}
	b := newBlock(number, size)
	l.memory += cap(b.data)
	l.blocks = append(l.blocks, b)
	return b
}

// await notes what the head of the last post of a block has.
func (l *ledger) await(b *block, p *posting) {
	w := wait{sequence: p.sequence, wait: p.wait}
	if !p.deadline.IsZero() {
		w.deadline = p.deadline.Sub(l.began)
	}
	l.waits[p.number] = w
	b.own |= 1 << (len(b.posts) - 1)
}

// search gives the place of the block that a number is in, or would be.
func (l *ledger) search(number uint64) int {
	return max(0, sort.Search(len(l.blocks), func(i int) bool { return l.blocks[i].first > number })-1)
}

// find gives the block of a post, and its place there; one that is gone has none.
func (l *ledger) find(number uint64) (b *block, i int, ok bool) {
	at := l.search(number)
	if at == len(l.blocks) {
		return nil, 0, false
	}
	b = l.blocks[at]
	i = b.place(number)
	return b, i, number >= b.first && i < len(b.posts) && b.gone>>i&1 == 0
}

// has tells whether a post is there.
func (l *ledger) has(number uint64) bool {
	_, _, ok := l.find(number)
	return ok
}

// silence notes that nobody waits for the outcome of a post any more. If it is posted
// again, a refusal comes as a response.
func (l *ledger) silence(number uint64) {
	if b, i, ok := l.find(number); ok {
		b.own &^= 1 << i
		delete(l.waits, number)
	}
}
