package flow

import (
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Acked takes in what the receiver says that it has. Each acknowledgement says
// everything, so that an old one, or one that comes twice, changes nothing. One of
// another receiver than before makes everything due again that is not dealt with;
// one of an earlier receiver is dropped. What it says of sequences that have not
// been sent is not believed.
func (s *Sender) Acked(now time.Time, a *pb.FlowAck) []Settled {
	s.begin()
	for kind := range s.windows {
		s.windows[kind].look()
	}
	if a.GetEpoch() != s.id.Epoch || a.GetId() != s.id.Number || a.GetReceiver() == 0 || a.GetReceiver() < s.peer.receiver {
		return nil
	}
	at := s.at(now)
	s.announce(at)
	s.meet(at, a.GetReceiver())
	s.peer.heard, s.absent = at, never
	s.receivedUpTo(at, a)
	for _, r := range a.GetRefusals() {
		s.refusedByPeer(at, r)
	}
	s.dealtUpTo(at, a)
	s.findLost()
	s.findSlow(at)
	if len(s.settled) > 0 {
		s.question.times = 0
	}
	s.lookForHole()
	return s.settled
}

// meet is told which receiver it is.
func (s *Sender) meet(at time.Duration, receiver uint64) {
	if receiver == s.peer.receiver {
		return
	}
	if s.peer.receiver != 0 {
		s.repeat(at)
	}
	s.peer.receiver, s.peer.received = receiver, 0
}

// repeat makes everything due again that has been sent, in order.
func (s *Sender) repeat(at time.Duration) {
	for pos := s.kept.kept.next(0); pos >= 0; pos = s.kept.kept.next(pos + 1) {
		m := s.kept.slots[pos].item
		if m.tries == 0 {
			continue
		}
		s.land(m)
		m.since = at
		s.kept.marks[missing+m.kind].add(pos)
		s.due(pos)
	}
	s.forgetAlso()
	s.wake()
	s.backoff = 0
	for kind := range s.windows {
		s.windows[kind].size, s.windows[kind].reduced = s.limits.First, s.order
	}
	s.question = question{asked: at}
}

// wasSent says whether a message has been sent: one that no way took has its sequence already.
func (s *Sender) wasSent(pos int) bool { return s.kept.slots[pos].item.tries > 0 }

// receivedUpTo marks what has been received.
func (s *Sender) receivedUpTo(at time.Duration, a *pb.FlowAck) {
	s.peer.received = max(s.peer.received, min(a.GetReceived(), s.sent))
	receive := func(pos int) {
		if s.wasSent(pos) {
			s.receive(at, pos)
		}
	}
	for kind := range kinds {
		s.each(missing+kind, 0, a.GetReceived(), receive)
		s.ranges(missing+kind, a.GetReceived(), a.GetReceivedBeyond(), receive)
	}
}

// dealtUpTo settles what has been dealt with.
func (s *Sender) dealtUpTo(at time.Duration, a *pb.FlowAck) {
	deal := func(pos int) { s.deal(at, pos, Settled{}) }
	s.each(marks, 0, a.GetDealt(), deal)
	s.ranges(marks, a.GetDealt(), a.GetDealtBeyond(), deal)
}

func (s *Sender) refusedByPeer(at time.Duration, r *pb.FlowRefusal) {
	pos := s.kept.over(r.GetSequence())
	if pos < 0 || r.GetSequence() > s.sent || !s.wasSent(pos) {
		return
	}
	pos = s.single(r.GetSequence())
	s.deal(at, pos, Settled{Code: max(r.GetCode(), 400), Description: r.GetDescription()})
}

// deal settles what has been dealt with, and so received.
func (s *Sender) deal(at time.Duration, pos int, how Settled) {
	if !s.wasSent(pos) {
		return
	}
	if s.missing(pos) {
		s.receive(at, pos)
	}
	s.settle(s.kept.slots[pos].item, how)
}

// ranges calls f for what is marked in ranges that rise; others are passed over,
// so that no position is looked at twice.
func (s *Sender) ranges(mark int, above uint64, rs []*pb.Range, f func(pos int)) {
	if mark < marks && s.kept.marks[mark].count == 0 {
		return
	}
	for _, r := range rs {
		if first := r.GetFirst(); first > above && r.GetLast() >= first {
			s.each(mark, first, r.GetLast(), f)
			above = r.GetLast()
		}
	}
}

// each calls f for what is marked, from first to last; with mark = marks for all
// that is kept.
func (s *Sender) each(mark int, first, last uint64, f func(pos int)) {
	last = min(last, s.sent)
	in := &s.kept.kept
	if mark < marks {
		in = &s.kept.marks[mark]
	}
	if first > last || in.count == 0 {
		return
	}
	s.cutMarked(in, first)
	s.cutMarked(in, last+1)
	for pos := in.next(s.kept.search(first)); pos >= 0 && s.kept.slots[pos].sequence <= last; pos = in.next(pos + 1) {
		f(pos)
	}
}

// cutMarked is cutBefore of what is marked.
func (s *Sender) cutMarked(in *set, sequence uint64) {
	if pos := s.kept.over(sequence); pos >= 0 && in.has(pos) {
		s.cutBefore(sequence)
	}
}

// receive notes that a message has arrived.
func (s *Sender) receive(at time.Duration, pos int) {
	m := s.kept.slots[pos].item
	for _, mark := range []int{missing + m.kind, due + m.kind, also, later} {
		s.kept.marks[mark].remove(pos)
	}
	s.peer.progress, s.laters, s.backoff = at, 0, 0
	trip, known := s.arrived(at, m)
	w := &s.windows[m.kind]
	for n := range m.n {
		if known {
			w.trips.measured(at, trip)
		}
		w.received(m.sizeOf(n), max(w.trips.queue(at), s.windows[short].trips.queue(at)))
	}
	s.land(m)
}

// arrived learns of the paths, and gives the round trip. A message that was sent more
// than once, or both ways, does not say which transmission it was; for what is lost it does,
// if the others were refused.
func (s *Sender) arrived(at time.Duration, m *message) (trip time.Duration, known bool) {
	for i := range s.transits {
		t, leg := &s.transits[i], &m.ways[i]
		if !leg.on {
			continue
		}
		t.received(at, m)
		if m.copies() != 1 || m.underWay() != t.path {
			continue
		}
		trip, known = at-leg.at, m.tries == 1
		t.top, t.progress = max(t.top, leg.order), at
		m.lane.top[i] = max(m.lane.top[i], leg.order)
		if !m.lane.touched {
			m.lane.touched = true
			s.touched = append(s.touched, m.lane)
		}
	}
	return trip, known
}
