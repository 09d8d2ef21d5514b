package msgnode

import (
	"slices"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// letterOverhead is what a kept message costs besides its content, in bytes.
const letterOverhead = 256

// letter is a message on its way to one session, with all that a refusal needs.
type letter struct {
	codec.Carried
	sender string // the runtime that sent it, empty for the node
	size   int    // bytes, encoded
	kept   int64  // since when it is in a mailbox, in milliseconds since 1970
}

func newLetter(c codec.Carried, sender string) letter {
	return letter{Carried: c, sender: sender, size: c.Size()}
}

// cost is what a letter counts for the bounds of mailboxes.
func (l letter) cost() int { return l.size + letterOverhead }

// alone gives the letter with memory of its own: what came beside it in its frame, which
// no bound counts, is not kept with it.
func (l letter) alone() letter {
	data, err := slices.Clone(l.Encoded), error(nil)
	if data == nil {
		if data, err = codec.Append(nil, l.Message()); err != nil {
			return l
		}
	}
	m := &pb.Message{}
	if codec.UnmarshalShared(data, m) != nil {
		return l
	}
	if l.Encoded == nil {
		data = nil
	}
	l.Carried = codec.Whole(m, data)
	return l
}

// towards gives the message as a session gets it: `via` only where the session
// sent it itself, since it may be another's secret, and nothing of a flow where
// none was announced.
func (l letter) towards(s Session) codec.Carried {
	foreign := l.Head().Via != "" && l.sender != s.Runtime
	if !foreign && s.Flow {
		return l.Carried
	}
	is := l.Message()
	m := is
	if foreign {
		m = message.Share(m)
		m.Via = ""
	}
	if !s.Flow {
		m = message.WithoutFlow(m)
	}
	if m != is {
		return codec.Bare(m)
	}
	return l.Carried
}

// mailboxes keep what comes for runtimes whose session is not at a socket here,
// in its order. They are pure; the Node's mu guards them.
//
//	put                         take
//	 │  ┌──────────────────────┐  │  the session is at a socket here, or
//	 └─►│ letters of a runtime │──┴─► at another replica, to which they go
//	    └──────────┬───────────┘
//	    overdue, drop: refused with 408, with 404
//
// While letters are taken to another replica the mailbox counts as used, so that
// nothing newer overtakes them.
type mailboxes struct {
	limits *Limits
	boxes  map[string]*mailbox // by runtime; none is empty and not moving
	bytes  int                 // of all, by cost
}

type mailbox struct {
	letters []letter
	bytes   int
	moving  bool // letters are under way to another replica
}

func newMailboxes(l *Limits) *mailboxes {
	return &mailboxes{limits: l, boxes: map[string]*mailbox{}}
}

// used tells whether what comes for a runtime has to wait in its mailbox.
func (b *mailboxes) used(runtime string) bool { return b.boxes[runtime] != nil }

// put keeps letters behind those that are there. It gives the ones that are past
// a bound.
func (b *mailboxes) put(runtime string, now time.Time, letters ...letter) (over []letter) {
	for _, l := range letters {
		l.kept = now.UnixMilli()
		box := b.boxes[runtime]
		have := 0
		if box != nil {
			have = box.bytes
		}
		if have+l.cost() > b.limits.MailboxBytes || b.bytes+l.cost() > b.limits.MailboxTotal {
			over = append(over, l)
			continue
		}
		if box == nil {
			box = &mailbox{}
			b.boxes[runtime] = box
		}
		box.letters = append(box.letters, l.alone())
		box.bytes += l.cost()
		b.bytes += l.cost()
	}
	return over
}

// take gives all letters of a runtime and forgets them.
func (b *mailboxes) take(runtime string) []letter {
	box := b.boxes[runtime]
	if box == nil {
		return nil
	}
	letters := box.letters
	b.bytes -= box.bytes
	box.letters, box.bytes = nil, 0
	if !box.moving {
		delete(b.boxes, runtime)
	}
	return letters
}

// move gives the letters that go to another replica. None are left when it gives
// none; until then, or until stay or back, the mailbox is used.
func (b *mailboxes) move(runtime string) []letter {
	box := b.boxes[runtime]
	if box == nil {
		return nil
	}
	box.moving = len(box.letters) > 0
	return b.take(runtime)
}

// stay ends a move: the session is not at another replica any more.
func (b *mailboxes) stay(runtime string) { b.back(runtime, nil) }

// back puts letters, which could not be moved, in front again. They count for the
// bounds, but are not held to them.
func (b *mailboxes) back(runtime string, letters []letter) {
	box := b.boxes[runtime]
	if box == nil {
		box = &mailbox{}
		b.boxes[runtime] = box
	}
	box.moving = false
	box.letters = append(letters, box.letters...)
	for _, l := range letters {
		box.bytes += l.cost()
		b.bytes += l.cost()
	}
	if len(box.letters) == 0 {
		delete(b.boxes, runtime)
	}
}

// overdue takes out what has been kept for too long.
func (b *mailboxes) overdue(now time.Time) (over []letter) {
	before := now.Add(-b.limits.MailboxTime).UnixMilli()
	for runtime, box := range b.boxes {
		n := 0
		for n < len(box.letters) && box.letters[n].kept <= before {
			box.bytes -= box.letters[n].cost()
			b.bytes -= box.letters[n].cost()
			n++
		}
		over = append(over, box.letters[:n]...)
		box.letters = box.letters[n:]
		if len(box.letters) == 0 && !box.moving {
			delete(b.boxes, runtime)
		}
	}
	return over
}

// waiting gives the runtimes that have letters, of which ok is true.
func (b *mailboxes) waiting(ok func(runtime string) bool) (runtimes []string) {
	for runtime, box := range b.boxes {
		if len(box.letters) > 0 && ok(runtime) {
			runtimes = append(runtimes, runtime)
		}
	}
	return runtimes
}

// letters is how many there are.
func (b *mailboxes) letters() (n int) {
	for _, box := range b.boxes {
		n += len(box.letters)
	}
	return n
}

// lateError is the node's word that a message was not fetched in time. It is told
// from a wait of the node's own, which is no 408 (wire contract, section 3).
type lateError struct{ fault *fault.Error }

func (e lateError) Error() string { return e.fault.Error() }
func (e lateError) Unwrap() error { return e.fault }

func errLate(to string) error {
	return lateError{fault.New(fault.Timeout, "the session of %s was away for too long, or too much waits for it", to)}
}
