package client

import (
	"slices"
	"sort"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
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
// A post is encoded when it is added: its content, which is the same whenever it is
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

	records []record // by number
	memory  chunks
	next    int    // the first that is queued, or gone
	gone    int    // of records: those that are over, and wait for compact
	number  uint64 // the last one given
	waiting int    // posts that wait for the stream
	queued  int    // bytes of them
	held    int    // bytes of all that is not gone

	receivers receivers
}

// posting is a post on its way into a ledger.
type posting struct {
	content  codec.Content
	sequence uint64
	wait     pb.Wait
	deadline time.Time // what the bus waits for is over then; zero for its default
	until    time.Time // its call ends by itself then; zero if it does not
	answers  bool      // it is a response
	number   uint64    // in the ledger; 0 before it is there
}

// size is what it takes: its bytes, and what a post costs in memory besides.
func (p *posting) size() int { return p.content.Size() + recordCost }

// recordCost is twice a record, as there may be as many places as records.
const recordCost = 112

// record is one post.
type record struct {
	number   uint64
	sequence uint64
	deadline time.Duration // when what the bus waits for is over, since began; 0 for its default
	content  place
	receiver int32 // of a ledger that keeps
	wait     pb.Wait
	queued   bool // it waits for the stream
	written  bool // on this stream or an earlier one
	gone     bool
}

func (r *record) size() int { return int(r.content.length) + recordCost }

func newLedger(keep bool, retain int, now time.Time) *ledger {
	return &ledger{keep: keep, retain: retain, began: now, receivers: receivers{places: map[string]int32{}, last: -1}}
}

// room tells whether a post may be added; one may always, when there is no other.
func (l *ledger) room(p *posting, outbox int) bool {
	if l.held == 0 {
		return true
	}
	size := p.size()
	if l.queued > 0 && l.queued+size > outbox {
		return false
	}
	if !l.keep {
		return true
	}
	free, has := l.retain-l.held, l.receivers.bytes(p.content.To())
	return size <= free && (has == 0 || has+size <= free)
}

// add queues a post as the last. It fails when its message is changed meanwhile.
func (l *ledger) add(p *posting) error {
	r := record{
		number: l.number + 1, sequence: p.sequence, wait: p.wait,
		content: l.memory.add(p.content.Size()), queued: true,
	}
	_, content := l.memory.of(r.content)
	if err := p.content.Encode(content); err != nil {
		l.memory.free(r.content)
		return err
	}
	if !p.deadline.IsZero() {
		r.deadline = p.deadline.Sub(l.began)
	}
	l.number++
	p.number = l.number
	if l.keep {
		r.receiver = l.receivers.add(p.content.To(), r.size())
	}
	l.waiting++
	l.queued += r.size()
	l.held += r.size()
	l.records = append(l.records, r)
	return nil
}

// extent gives the next frame's worth of posts: up to which record, how many, and the
// bytes of those that are copied into the frame.
func (l *ledger) extent() (end, posts, copied int) {
	bytes := 0
	for end = l.next; end < len(l.records) && posts < message.MaxFrames; end++ {
		r := &l.records[end]
		if r.gone {
			continue
		}
		length := int(r.content.length)
		if bytes > 0 && bytes+length > frameBytes {
			break
		}
		bytes += length
		posts++
		if length < longFrom {
			copied += length
		}
	}
	return end, posts, copied
}

// take writes the posts up to the record end into a frame.
func (l *ledger) take(f *frame, end int, now time.Time) {
	for ; l.next < end; l.next++ {
		r := &l.records[l.next]
		if r.gone {
			continue
		}
		chunk, content := l.memory.of(r.content)
		f.post(l.head(r, now), chunk, content)
		r.queued, r.written = false, true
		l.waiting--
		l.queued -= r.size()
		if !l.keep {
			l.remove(r)
		}
	}
	l.compact()
}

// head makes that of a post, which is written for the first time or again.
func (l *ledger) head(r *record, now time.Time) codec.Head {
	h := codec.Head{Sequence: r.sequence, Wait: r.wait, Again: r.written}
	if l.keep {
		h.Number = r.number
	}
	if r.deadline != 0 {
		h.Timeout = max(r.deadline-now.Sub(l.began), time.Millisecond)
	}
	return h
}

// find gives the place of a post; one that is gone has none.
func (l *ledger) find(number uint64) *record {
	i := l.search(number)
	if i < len(l.records) && l.records[i].number == number && !l.records[i].gone {
		return &l.records[i]
	}
	return nil
}

// search gives the first place of a number, or of a higher one. Most numbers stand in
// one row.
func (l *ledger) search(number uint64) int {
	if len(l.records) == 0 || number <= l.records[0].number {
		return 0
	}
	most := int(min(number-l.records[0].number, uint64(len(l.records)))) //nolint:gosec // a place
	if most < len(l.records) && l.records[most].number == number {
		return most
	}
	return sort.Search(most, func(i int) bool { return l.records[i].number >= number })
}

// settle ends the posts with numbers from first to last. One that was never
// written cannot be settled.
func (l *ledger) settle(first, last uint64) {
	for i := l.search(first); i < len(l.records) && l.records[i].number <= last; i++ {
		if r := &l.records[i]; r.written {
			l.remove(r)
		}
	}
	l.compact()
}

// end settles one post.
func (l *ledger) end(r *record) {
	l.remove(r)
	l.compact()
}

// silence notes that nobody waits for the outcome of a post any more. If it is posted
// again, a refusal comes as a response.
func (r *record) silence() {
	r.sequence, r.wait, r.deadline = 0, pb.Wait_WAIT_UNSPECIFIED, 0
}

// drop takes out a post that was never written, and tells whether it was one.
func (l *ledger) drop(r *record) bool {
	if r.written {
		return false
	}
	l.end(r)
	return true
}

func (l *ledger) remove(r *record) {
	if r.gone {
		return
	}
	r.gone = true
	l.gone++
	l.held -= r.size()
	if r.queued {
		l.waiting--
		l.queued -= r.size()
	}
	if l.keep {
		l.receivers.remove(r.receiver, r.size())
	}
	l.memory.free(r.content)
}

// rewind queues all that is kept, in order, for a new stream.
func (l *ledger) rewind() {
	for i := range l.records[:l.next] {
		if r := &l.records[i]; !r.gone && !r.queued {
			r.queued = true
			l.waiting++
			l.queued += r.size()
		}
	}
	l.next = 0
}

// compact forgets what is gone once it is the greater part: so each record is
// moved about once.
func (l *ledger) compact() {
	switch {
	case l.gone == len(l.records):
		l.records, l.next, l.gone = l.records[:0], 0, 0
	case l.gone > len(l.records)/2:
		before := 0
		for i := range l.records[:l.next] {
			if l.records[i].gone {
				before++
			}
		}
		l.next -= before
		l.records = slices.DeleteFunc(l.records, func(r record) bool { return r.gone })
		l.gone = 0
	}
	if cap(l.records) > sparse && len(l.records) < cap(l.records)/8 {
		l.records = append(make([]record, 0, max(sparse, 2*len(l.records))), l.records...)
	}
	if l.memory.sparse() {
		l.gather()
	}
}

// gather moves the contents of short posts together.
func (l *ledger) gather() {
	l.memory.close()
	for i := range l.records {
		r := &l.records[i]
		if r.gone || int(r.content.length) >= longFrom {
			continue
		}
		before := r.content
		r.content = l.memory.add(int(before.length))
		_, from := l.memory.of(before)
		_, to := l.memory.of(r.content)
		copy(to, from)
		l.memory.free(before)
	}
}

// sparse is how many places are kept though they are not used.
const sparse = 4096
