package flow

import (
	"fmt"
	"time"
)

// Refused is news of a Message Node or a stub: a message has not gone further. A
// 404 is final for a peer that is not known to know flows; for another it is
// only after Limits.AbsentTime of it. What lies with the message (400, 403, 413 and
// other 4xx) is final; what passes (408, 425, 429, 5xx) is sent again after a
// time. A refusal by one of two ways decides nothing.
func (s *Sender) Refused(now time.Time, sequence uint64, code int32, description string) []Settled {
	s.begin()
	pos := s.kept.over(sequence)
	if pos < 0 || !s.missing(pos) {
		return nil
	}
	m := s.kept.slots[pos].item
	if m.tries == 0 || m.underWay() == Both {
		return nil
	}
	pos = s.single(sequence)
	m = s.kept.slots[pos].item
	at := s.at(now)
	if s.final(at, code) {
		s.settle(m, Settled{Code: code, Description: description})
		s.lookForHole()
		return s.settled
	}
	s.postpone(at, pos, m)
	return nil
}

// final says whether a refusal is the last word.
func (s *Sender) final(at time.Duration, code int32) bool {
	switch {
	case code == 404 && s.peer.announced:
		s.absent = min(s.absent, at)
		return at-s.absent >= s.limits.AbsentTime
	case code == 408, code == 425, code == 429, code >= 500:
		return false
	}
	return true
}

// postpone has a message sent again after a time, together with others that were
// refused.
func (s *Sender) postpone(at time.Duration, pos int, m *message) {
	for i := range s.transits {
		if l := m.ways[i]; l.on {
			s.windows[m.kind].lost(l.order, s.order)
		}
	}
	s.land(m)
	m.back++
	s.kept.marks[due+m.kind].remove(pos)
	s.kept.marks[also].remove(pos)
	if s.kept.marks[later].count == 0 {
		s.laterAt = at + s.doubled(s.limits.MinTimeout, s.laters)
		s.laters++
	}
	s.kept.marks[later].add(pos)
}

// Announce says that the peer is known to know flows. From now on what is lost is
// sent again.
func (s *Sender) Announce(now time.Time) { s.announce(s.at(now)) }

func (s *Sender) announce(at time.Duration) {
	if s.peer.announced {
		return
	}
	s.peer.announced = true
	s.peer.heard = at
	s.leave(Both &^ s.paths.there())
	if s.paths.Doubt {
		s.double()
	}
}

// Plain says that the peer is known to know no flows. It gives back all messages,
// those of an
// address in order: what has been sent has gone plain, and the rest has to. When the peer
// has acknowledged anything, it does know flows, and nothing comes of it.
func (s *Sender) Plain(time.Time) []Settled {
	s.begin()
	if s.peer.receiver != 0 {
		return nil
	}
	s.peer.announced = false
	for pos := s.kept.kept.next(0); pos >= 0; pos = s.kept.kept.next(pos + 1) {
		m := s.kept.slots[pos].item
		s.settle(m, Settled{Plain: true, Unsent: m.tries == 0 || s.kept.marks[later].has(pos)})
	}
	s.giveBack(func(*message) bool { return true }, Settled{Plain: true, Unsent: true})
	return s.settled
}

// wakeAt is when what was refused for a time is due again.
func (s *Sender) wakeAt() time.Duration {
	if s.kept.marks[later].count == 0 {
		return never
	}
	return s.laterAt
}

// Tick does what time brings: what was refused is due again; what has had its time is
// given up, with 408, and counts no more in how long the rest may take; of that, what is
// not acknowledged is lost, or plain.
func (s *Sender) Tick(now time.Time) []Settled {
	s.begin()
	at := s.at(now)
	if s.wakeAt() <= at {
		s.wake()
	}
	s.giveUp(at)
	s.findSlow(at)
	s.listen(at)
	if s.questionAt() <= at && s.paths.there() != 0 {
		s.question.due = true
	}
	return s.settled
}

// giveUp settles what has had its time; of a kind, in the order of the flow. Long ones
// first: a short one may wait because a long one is under way.
func (s *Sender) giveUp(at time.Duration) {
	before := len(s.settled)
	for kind := kinds - 1; kind >= 0; kind-- {
		marked := &s.kept.marks[missing+kind]
		for pos := marked.next(0); pos >= 0 && s.patientUntil(pos) <= at; pos = marked.next(pos + 1) {
			s.settle(s.kept.slots[pos].item, s.tooLong())
		}
	}
	s.dropWaiting(at)
	if s.held() > 0 && s.heldUntil() <= at {
		for pos := s.kept.kept.next(0); pos >= 0; pos = s.kept.kept.next(pos + 1) {
			if !s.missing(pos) {
				s.settle(s.kept.slots[pos].item, Settled{Code: 408, Description: fmt.Sprintf("the remote runtime has received it and been silent for %v", s.limits.Patience)})
			}
		}
	}
	if len(s.settled) > before {
		s.lookForHole()
	}
}

func (s *Sender) tooLong() Settled {
	return Settled{Code: 408, Description: fmt.Sprintf("not received by the remote runtime within %v", s.limits.Patience)}
}

// patientUntil is when a message that is not received is given up. One that no way
// has taken yet waits as long as there is progress.
func (s *Sender) patientUntil(pos int) time.Duration {
	m := s.kept.slots[pos].item
	if m.tries == 0 {
		return s.impatient(m.since)
	}
	return m.since + s.limits.Patience + s.allowance(m)
}

// heldUntil is when a receiver has been silent for too long about what it has.
func (s *Sender) heldUntil() time.Duration { return s.peer.heard + s.limits.Patience }

// Deadline is when Tick is to be called, if nothing else happens.
func (s *Sender) Deadline() (time.Time, bool) {
	d := min(s.wakeAt(), s.waitingUntil())
	for i := range s.transits {
		for kind := range kinds {
			d = min(d, s.transitAt(&s.transits[i], kind), s.slowAt(&s.transits[i], kind))
		}
	}
	for kind := range kinds {
		if pos := s.kept.marks[missing+kind].next(0); pos >= 0 {
			d = min(d, s.patientUntil(pos))
		}
	}
	if s.held() > 0 {
		d = min(d, s.heldUntil())
	}
	if s.paths.there() != 0 {
		d = min(d, s.questionAt())
	}
	if d == never {
		return time.Time{}, false
	}
	return s.origin.Add(d), true
}
