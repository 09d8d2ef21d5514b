package flow

import (
	"strings"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// say is when the next acknowledgement is due, and how far those before it have
// come with what does not fit into one.
type say struct {
	due   time.Duration // never: there is nothing to say
	last  time.Duration // when one was made
	said  bool          // there was one
	along bool          // it went along with a message
	bytes int           // received since then
	// turn is the sequence from which on the next one goes through what is given,
	// and rounds how often it has to begin anew before everything has been said.
	turn   uint64
	rounds int
}

// heard has what has been received acknowledged soon.
func (r *Receiver) heard(at time.Duration, size int) {
	r.say.bytes += size
	if r.say.bytes >= r.limits.AckBytes {
		r.say.due = min(r.say.due, at)
		return
	}
	r.say.due = min(r.say.due, at+r.limits.AckDelay)
}

// dealt has what has been dealt with told: at once, if it was the last one.
func (r *Receiver) dealt(at time.Duration) {
	r.say.rounds = 2
	if r.undealt() == 0 {
		r.urgent(at)
		return
	}
	r.say.due = min(r.say.due, at+r.limits.AckDelay)
}

// urgent has an acknowledgement made at once, unless there has just been one. While
// messages go the other way, the next of them is waited for a little longer.
func (r *Receiver) urgent(at time.Duration) {
	when, pause := at, r.limits.AckDelay/8
	if r.say.along {
		pause = r.limits.AckDelay / 2
	}
	if r.say.said {
		when = max(at, r.say.last+pause)
	}
	r.say.due = min(r.say.due, when)
}

// AckDue is when Ack is to be called.
func (r *Receiver) AckDue() (time.Time, bool) {
	if r.say.due == never {
		return time.Time{}, false
	}
	return r.origin.Add(r.say.due), true
}

// Along is Ack when there is something to say: for a message that goes the other way
// anyway. Nil when there is not.
func (r *Receiver) Along(now time.Time) *pb.FlowAck {
	if r.say.due == never {
		return nil
	}
	a := r.Ack(now)
	r.say.along = true
	return a
}

// Ack says what is here; the flow's name is for the caller to fill in. It is
// complete, but for what is dealt with out of order: of that it says what is
// latest, and goes through the rest in turn, with one acknowledgement after the
// other, until all of it has been said.
func (r *Receiver) Ack(now time.Time) *pb.FlowAck {
	at := r.at(now)
	a := &pb.FlowAck{Receiver: r.self, Received: max(r.expected, 1) - 1}
	for i := range r.ahead.stretches {
		a.ReceivedBeyond = append(a.ReceivedBeyond, &pb.Range{First: r.ahead.stretches[i].first, Last: r.ahead.stretches[i].last})
	}
	a.Dealt = a.Received
	if first := r.given.kept.next(0); first >= 0 {
		a.Dealt = r.given.slots[first].sequence - 1
		r.sayGiven(a, first)
	}
	r.say.last, r.say.said, r.say.along, r.say.bytes, r.say.due = at, true, false, 0, never
	if r.given.kept.count == 0 {
		r.say.rounds = 0
	}
	if r.say.rounds > 0 {
		r.say.due = at + r.limits.AckDelay
	}
	return a
}

// sayGiven says what is dealt with behind the first that is not: one half of the
// room is for the end of the line, the other for the next part of the rest.
func (r *Receiver) sayGiven(a *pb.FlowAck, first int) {
	half := max(r.limits.Ranges/2, 1)
	end := max(r.tail(half), first)
	pos := max(r.given.from(r.say.turn), first)
	if pos >= end {
		pos = first
	}
	for n := 0; pos < end && pos >= 0 && n < scanned*half && len(a.DealtBeyond) < half && len(a.Refusals) < half; n++ {
		r.sayOne(a, pos)
		pos = r.given.kept.next(pos + 1)
	}
	r.say.turn = 0
	if pos >= 0 && pos < end {
		r.say.turn = r.given.slots[pos].sequence
	} else if r.say.rounds > 0 {
		r.say.rounds--
		if end == first {
			r.say.rounds = 0
		}
	}
	for pos = end; pos >= 0; pos = r.given.kept.next(pos + 1) {
		r.sayOne(a, pos)
	}
}

// scanned is how many messages may be looked at for each range that is said.
const scanned = 16

// tail is the position from which on there are so many.
func (r *Receiver) tail(n int) int {
	pos := r.given.kept.previous(len(r.given.slots) - 1)
	for ; n > 1 && pos >= 0; n-- {
		before := r.given.kept.previous(pos - 1)
		if before < 0 {
			break
		}
		pos = before
	}
	return pos
}

// sayOne says of a message that is given whether it is refused, and what is dealt
// with between it and the next.
func (r *Receiver) sayOne(a *pb.FlowAck, pos int) {
	s := &r.given.slots[pos]
	if r.given.marks[refused].has(pos) {
		a.Refusals = append(a.Refusals, &pb.FlowRefusal{Sequence: s.sequence, Code: s.item.code, Description: brief(s.item.description)})
	}
	last := r.expected - 1
	if next := r.given.kept.next(pos + 1); next >= 0 {
		last = r.given.slots[next].sequence - 1
	}
	if last > s.sequence {
		a.DealtBeyond = append(a.DealtBeyond, &pb.Range{First: s.sequence + 1, Last: last})
	}
}

// brief is what of a description fits into an acknowledgement.
func brief(s string) string {
	const most = 200
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
