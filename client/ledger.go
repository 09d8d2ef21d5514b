package client

import (
	"slices"
	"sort"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

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
// A post of a ledger that keeps has the next number when it is added, and stays
// until it is settled. rewind queues all of them again, for a new stream: that is
// the whole of posting again. In a ledger that does not keep, a post is gone once
// it is taken.
//
// Nobody has more of the bytes that may be kept than are still free: a receiver
// that does not settle takes a half of them, and leaves room for the others.
type ledger struct {
	keep   bool
	retain int // bytes that may be kept

	entries  []*entry // by number
	next     int      // the first that is queued, or gone
	gone     int      // of entries: those that are over, and wait for compact
	number   uint64   // the last one given
	queued   int      // bytes that wait for the stream
	held     int      // bytes of all that is not gone
	receiver map[string]int
}

// entry is one post.
type entry struct {
	post     *pb.Post
	number   uint64
	size     int       // bytes of the message, encoded, and what the post costs besides
	deadline time.Time // what the bus waits for is over then; zero for its default
	queued   bool      // it waits for the stream
	written  bool      // on this stream or an earlier one
	silent   bool      // nobody waits for its outcome any more
	gone     bool
}

// entryCost is what a post costs in memory beside its encoded bytes.
const entryCost = 256

func newEntry(p *pb.Post) *entry {
	return &entry{post: p, size: codec.Size(p.GetMessage()) + entryCost}
}

func newLedger(keep bool, retain int) *ledger {
	return &ledger{keep: keep, retain: retain, receiver: map[string]int{}}
}

// room tells whether a post may be added; one may always, when there is no other.
func (l *ledger) room(e *entry, outbox int) bool {
	if l.held == 0 {
		return true
	}
	if l.queued > 0 && l.queued+e.size > outbox {
		return false
	}
	if !l.keep {
		return true
	}
	free := l.retain - l.held
	return e.size <= free && (l.receiver[e.to()] == 0 || l.receiver[e.to()]+e.size <= free)
}

func (e *entry) to() string { return e.post.Message.GetTo() }

// add queues a post as the last.
func (l *ledger) add(e *entry) {
	if l.keep {
		l.number++
		e.number, e.post.Number = l.number, l.number
		l.receiver[e.to()] += e.size
	}
	e.queued = true
	l.queued += e.size
	l.held += e.size
	l.entries = append(l.entries, e)
}

// take gives the next posts for the stream, a frame of them; nil when there are
// none.
func (l *ledger) take(now time.Time) (frame []*pb.Post) {
	bytes := 0
	for l.next < len(l.entries) && len(frame) < message.MaxFrames {
		e := l.entries[l.next]
		if e.gone {
			l.next++
			continue
		}
		encoded := e.size - entryCost
		if bytes > 0 && bytes+encoded > frameBytes {
			break
		}
		bytes += encoded
		frame = append(frame, l.write(e, now))
		l.next++
		if !l.keep {
			l.remove(e)
		}
	}
	l.compact()
	return frame
}

// write makes a post ready to be written, for the first time or again.
func (l *ledger) write(e *entry, now time.Time) *pb.Post {
	p := e.post
	p.Again = e.written
	e.queued, e.written = false, true
	l.queued -= e.size
	switch {
	case e.silent:
		p.Sequence, p.Wait, p.Timeout = 0, pb.Wait_WAIT_UNSPECIFIED, nil
	case !e.deadline.IsZero():
		p.Timeout = durationpb.New(max(e.deadline.Sub(now), time.Millisecond))
	}
	return p
}

// settle ends the posts with numbers from first to last. One that was never
// written cannot be settled.
func (l *ledger) settle(first, last uint64) {
	i := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].number >= first })
	for ; i < len(l.entries) && l.entries[i].number <= last; i++ {
		if e := l.entries[i]; e.written {
			l.remove(e)
		}
	}
	l.compact()
}

// end settles one post.
func (l *ledger) end(e *entry) {
	l.remove(e)
	l.compact()
}

// drop takes out a post that was never written, and tells whether it was one.
func (l *ledger) drop(e *entry) bool {
	if e.written || e.gone {
		return false
	}
	l.end(e)
	return true
}

func (l *ledger) remove(e *entry) {
	if e.gone {
		return
	}
	e.gone = true
	l.gone++
	l.held -= e.size
	if e.queued {
		l.queued -= e.size
	}
	if l.keep {
		if l.receiver[e.to()] -= e.size; l.receiver[e.to()] == 0 {
			delete(l.receiver, e.to())
		}
	}
	e.post = nil
}

// rewind queues all that is kept, in order, for a new stream.
func (l *ledger) rewind() {
	for _, e := range l.entries[:l.next] {
		if !e.gone && !e.queued {
			e.queued = true
			l.queued += e.size
		}
	}
	l.next = 0
}

// compact forgets what is gone once it is the greater part: so each entry is
// moved about once.
func (l *ledger) compact() {
	switch {
	case l.gone == len(l.entries):
		clear(l.entries)
		l.entries, l.next, l.gone = l.entries[:0], 0, 0
	case l.gone > len(l.entries)/2:
		before := 0
		for _, e := range l.entries[:l.next] {
			if e.gone {
				before++
			}
		}
		l.next -= before
		l.entries = slices.DeleteFunc(l.entries, func(e *entry) bool { return e.gone })
		l.gone = 0
	}
	if cap(l.entries) > sparse && len(l.entries) < cap(l.entries)/4 {
		l.entries = slices.Clone(l.entries)
	}
}

// sparse is from how many places on unused ones are given back.
const sparse = 4096
