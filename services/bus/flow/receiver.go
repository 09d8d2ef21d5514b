package flow

import "time"

// Receiver puts the messages of one flow in order, takes each once, and says what
// it has. It starts nothing, has no clock and no lock: its calls must not overlap.
type Receiver struct {
	self   uint64
	limits Limits
	origin time.Time

	base     uint64 // as the sender has said; 0: nothing has come
	expected uint64 // whose turn it is
	ahead    ahead
	given    line[given] // handed over, in order
	backlog  int         // bytes of given
	out      []Delivery
	say      say
}

// given is a message that has been handed over, until it is dealt with. One that
// is refused stays until the sender's base has passed it, as that has to be said.
type given struct {
	size        int
	code        int32
	description string
}

// refused marks what is given and refused.
const refused = 0

// highest is the highest sequence that is believed.
const highest = 1 << 62

// NewReceiver makes the receiver of one flow. self is when its bus was started, in
// nanoseconds since 1970.
func NewReceiver(self uint64, l Limits) *Receiver {
	return &Receiver{
		self:   self,
		limits: l.OrDefaults(),
		given:  line[given]{marks: make([]set, 1)},
		say:    say{due: never},
	}
}

// Receive takes a message in, or, without a value, what the sender says of a Place.
// It returns those whose turn has come, in order; they are to be dealt with
// (Dealt). A message is not taken when it has come before, or when there is no room:
// then the sender sends it again. One that is taken may be dropped later, when its
// sender gives up waiting (Ahead says what is kept).
//
// The size is in bytes with all that it takes in memory. What is returned is good
// until the next call.
func (r *Receiver) Receive(now time.Time, p Place, size int, value any) (turn []Delivery, taken bool) {
	clear(r.out)
	r.out = r.out[:0]
	if p.Sequence > highest || p.Base > highest {
		return nil, false
	}
	at := r.at(now)
	r.rebase(max(p.Base, 1))
	switch {
	case value == nil:
		r.passed(p)
		r.urgent(at)
	case p.Sequence < r.expected || r.ahead.has(p.Sequence):
		r.urgent(at)
	default:
		taken = r.take(at, p, max(size, overhead), value)
	}
	if r.drain() {
		r.urgent(at)
	}
	return r.out, taken
}

// at is a time as it is kept here.
func (r *Receiver) at(now time.Time) time.Duration {
	if r.origin.IsZero() {
		r.origin = now
	}
	return now.Sub(r.origin)
}

// rebase passes all that the sender has settled.
func (r *Receiver) rebase(base uint64) {
	if base <= r.base {
		return
	}
	r.base = base
	if base > r.expected {
		r.ahead.pass(base)
		r.expected = base
	}
	marked := &r.given.marks[refused]
	for pos := marked.next(0); pos >= 0 && r.given.slots[pos].sequence < base; pos = marked.next(pos) {
		r.forget(pos)
	}
}

// passed takes the word of the sender that nothing comes between two places, when
// that is what is waited for.
func (r *Receiver) passed(p Place) {
	if p.After > 0 && p.After < r.expected && p.Sequence > r.expected {
		r.ahead.pass(p.Sequence)
		r.expected = p.Sequence
	}
}

// take hands a message over when it is its turn, or keeps it for later.
func (r *Receiver) take(at time.Duration, p Place, size int, value any) bool {
	after := p.Sequence - 1
	if p.After > 0 {
		after = min(after, p.After)
	}
	if after < r.expected {
		if r.backlog > 0 && r.backlog+size > r.limits.Bytes {
			return false
		}
		r.ahead.pass(p.Sequence)
		r.give(p.Sequence, size, value)
		r.heard(at, size)
		return true
	}
	if r.ahead.bytes+size > r.limits.Ahead {
		return false
	}
	fresh, ok := r.ahead.put(after+1, &early{sequence: p.Sequence, size: size, value: value}, r.limits.Ranges)
	if fresh || !ok {
		r.urgent(at)
	}
	r.heard(at, size)
	return ok
}

// drain hands over what has become next, when there is any.
func (r *Receiver) drain() (any bool) {
	for {
		first, last, ok := r.ahead.take(r.expected)
		if !ok {
			return any
		}
		any = true
		for e := first; e != nil; e = e.next {
			r.give(e.sequence, e.size, e.value)
		}
		r.expected = last + 1
	}
}

func (r *Receiver) give(sequence uint64, size int, value any) {
	r.given.push(sequence, given{size: size})
	r.backlog += size
	r.expected = sequence + 1
	r.out = append(r.out, Delivery{sequence, value})
}

// Dealt says that a message that was handed over is dealt with, by its listener or,
// with a code from 400 on, by a refusal.
func (r *Receiver) Dealt(now time.Time, sequence uint64, code int32, description string) {
	pos := r.given.find(sequence)
	if pos < 0 || r.given.marks[refused].has(pos) {
		return
	}
	if code >= 400 && sequence >= r.base {
		g := &r.given.slots[pos].item
		r.backlog -= g.size - overhead
		*g = given{overhead, code, description}
		r.given.marks[refused].add(pos)
	} else {
		r.forget(pos)
	}
	r.dealt(r.at(now))
}

func (r *Receiver) forget(pos int) {
	r.backlog -= r.given.slots[pos].item.size
	r.given.remove(pos)
}

// Ahead is how many bytes are kept before their turn, as they count for the limits.
func (r *Receiver) Ahead() int { return r.ahead.bytes }

// Backlog is how many bytes have been handed over and are not dealt with.
func (r *Receiver) Backlog() int { return r.backlog }

// Idle says that nothing waits for its turn, to be dealt with, or to be said.
func (r *Receiver) Idle() bool {
	return len(r.ahead.stretches) == 0 && r.undealt() == 0 && r.say.due == never
}

func (r *Receiver) undealt() int { return r.given.kept.count - r.given.marks[refused].count }
