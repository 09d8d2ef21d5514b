package flow

import "time"

// question is a transmission without a message. It makes the receiver say what it
// has, when messages that it has received are not dealt with and nothing is heard
// of them (the acknowledgement is lost, or the receiver is another one); and it
// takes the receiver past places for which nothing comes any more, when all that
// follows has been received.
type question struct {
	due  bool
	ways Path // it was last sent over
	// hole is the first message behind places that the receiver waits for in
	// vain, and base what it was told then; 0: it waits for none.
	hole, base uint64
	asked      time.Duration
	times      int // in a row
}

// ask makes the question.
func (s *Sender) ask(at time.Duration, ways Path) Transmission {
	s.question.due = false
	s.question.ways, s.question.asked = ways, at
	s.question.times++
	s.stats.Bare++
	p := Place{Base: s.base()}
	if pos := s.kept.find(s.question.hole); pos >= 0 {
		p = s.place(pos, s.question.hole)
	}
	return Transmission{Place: p, Path: ways, Again: s.question.times > 1, Receiver: s.peer.receiver}
}

// unasked has the question asked again that no way could take.
func (s *Sender) unasked(p Path) {
	if s.question.ways&p == 0 {
		return
	}
	if s.question.ways &^= p; s.question.ways == 0 {
		s.question.due = true
		s.question.times--
	}
}

// questionAt is when a question is due, unless something is heard before. One that
// is due waits for a way alone.
func (s *Sender) questionAt() time.Duration {
	if !s.peer.announced || s.held() == 0 || s.question.due {
		return never
	}
	if s.question.hole != 0 {
		return s.question.asked + s.doubled(s.timeout(), s.question.times)
	}
	return max(s.peer.heard, s.question.asked) + s.doubled(s.limits.FirstTimeout, s.question.times)
}

// lookForHole finds out whether the receiver waits for what does not come, and
// has all that follows.
func (s *Sender) lookForHole() {
	next := s.peer.received + 1
	pos := s.kept.from(next)
	if pos < 0 || s.peer.receiver == 0 || s.missing(pos) || s.kept.slots[pos].sequence == next {
		s.question.hole = 0
		return
	}
	hole, base := s.kept.slots[pos].sequence, s.base()
	if s.question.hole != hole || s.question.base != base {
		s.question.hole, s.question.base = hole, base
		s.question.due, s.question.times = true, 0
	}
}
