package flow

import "time"

// ways says which way a message goes now. The direct way is taken when it is
// there; both are while it is in doubt, or when nothing has arrived for a
// time-out. A way without room is not replaced by the other one, as it is about
// to have room; but the other one does not wait for it.
func (s *Sender) ways() Path {
	there := s.paths.there()
	if s.peer.announced && (s.paths.Doubt || s.backoff > 0) {
		return there &^ s.full
	}
	if there&Direct != 0 {
		there = Direct
	}
	return there &^ s.full
}

// Next says what is to be sent now, and takes it for sent: questions first, then of
// each kind what is lost and what is new. Of several it is as many as the window, and the
// turns of others, allow. It is called until it says no, after every other call.
func (s *Sender) Next(now time.Time) (Transmission, bool) {
	at, ways := s.at(now), s.ways()
	if ways == 0 {
		return Transmission{}, false
	}
	if s.question.due {
		return s.ask(at, ways), true
	}
	if t, ok := s.nextAlso(at, ways); ok {
		return t, true
	}
	for kind := range kinds {
		if pos := s.nextOf(at, kind); pos >= 0 {
			return s.transmit(at, pos, s.kept.slots[pos].item, ways), true
		}
	}
	return Transmission{}, false
}

// nextOf is the position of what comes next of a kind, or -1: what is to be sent
// again, in the order of the flow, then what waits in the account whose turn it is.
func (s *Sender) nextOf(at time.Duration, kind int) int {
	w := &s.windows[kind]
	if pos := s.kept.marks[due+kind].next(0); pos >= 0 {
		w.wake(at)
		n := w.takes(s.kept.slots[pos].item)
		if n == 0 {
			if !s.anyhow(pos, kind) {
				return -1
			}
			n = 1
		}
		s.split(pos, n)
		return pos
	}
	a := s.turns[kind].next(s.limits.Short)
	if a == nil {
		return -1
	}
	w.wake(at)
	n := w.takes(a.first)
	if n == 0 {
		return -1
	}
	return s.start(kind, s.turns[kind].take(n, s.limits.Short))
}

// anyhow tells whether what is due goes although its window is full: the first that is
// missing does, if it would fit an empty one. The window may be full of what a receiver had no
// room for behind it, and that is found lost when this one has come: what is of its lane at
// once, the rest in a round trip.
func (s *Sender) anyhow(pos, kind int) bool {
	return pos == s.kept.marks[missing+kind].next(0) && s.kept.slots[pos].item.sizeOf(0) <= s.windows[kind].size
}

// nextAlso sends the other way what is under way in doubt.
func (s *Sender) nextAlso(at time.Duration, ways Path) (Transmission, bool) {
	marked := &s.kept.marks[also]
	for pos := marked.next(0); pos >= 0; pos = marked.next(pos) {
		m := s.kept.slots[pos].item
		if other := ways &^ m.underWay(); other != 0 {
			return s.transmit(at, pos, m, other), true
		}
		if s.full != 0 {
			return Transmission{}, false
		}
		marked.remove(pos)
	}
	return Transmission{}, false
}

func (s *Sender) transmit(at time.Duration, pos int, m *message, ways Path) Transmission {
	t := Transmission{
		Place: s.place(pos, m.sequence), Path: ways, Again: m.tries > 0, Value: m.value, From: m.from, Count: m.n,
	}
	if m.underWay() == 0 {
		s.windows[m.kind].sent(at, m.size)
	}
	if m.tries == 0 {
		m.since = at
	}
	if t.Again {
		t.Receiver = s.peer.receiver
	}
	m.tries++
	for i := range s.transits {
		if way := &s.transits[i]; ways&way.path != 0 {
			way.remove(m)
			way.push(m, s.order+1, at)
		}
	}
	s.order += uint64(m.n) // not negative
	s.kept.marks[due+m.kind].remove(pos)
	s.kept.marks[also].remove(pos)
	s.count(t)
	return t
}

func (s *Sender) count(t Transmission) {
	s.stats.Sent += uint64(t.Count) // not negative
	if t.Again {
		s.stats.Again += uint64(t.Count) // likewise
	}
}

// place says where a message stands, and what is gone before it.
func (s *Sender) place(pos int, sequence uint64) Place {
	p := Place{Sequence: sequence, Base: s.base()}
	if p.Base == sequence {
		return p
	}
	if after := s.kept.last(s.kept.kept.previous(pos - 1)); after != sequence-1 {
		p.After = after
	}
	return p
}

// Unsent says that one of the ways of a transmission could not take it, or the last n of
// it. It is due again, if it is not under way on the other. That way is not used before
// Ready.
func (s *Sender) Unsent(sequence uint64, n int, p Path) {
	s.full |= p
	pos := s.kept.over(sequence)
	if pos < 0 || s.kept.slots[pos].item.underWay()&p == 0 {
		s.unasked(p)
		return
	}
	end := sequence + uint64(n) // not negative
	s.cutBefore(sequence)
	s.cutBefore(end)
	for pos = s.kept.find(sequence); pos >= 0 && s.kept.slots[pos].sequence < end; pos = s.kept.kept.next(pos + 1) {
		if s.kept.slots[pos].item.underWay()&p != 0 {
			s.unsent(pos, p)
		}
	}
}

func (s *Sender) unsent(pos int, p Path) {
	m := s.kept.slots[pos].item
	for i := range s.transits {
		if l := &m.ways[i]; l.on && s.transits[i].path&p != 0 {
			l.times--
		}
	}
	s.unlink(m, p)
	switch {
	case m.underWay() == 0:
		s.again(pos)
		m.tries--
	case s.paths.Doubt:
		s.kept.marks[also].add(pos)
	}
}

// Ready says that a way has room again.
func (s *Sender) Ready(p Path) { s.full &^= p }

// unlink takes a message off some ways.
func (s *Sender) unlink(m *message, p Path) {
	was := m.underWay()
	for i := range s.transits {
		if s.transits[i].path&p != 0 {
			s.transits[i].remove(m)
		}
	}
	if was != 0 && m.underWay() == 0 {
		s.windows[m.kind].used -= m.size
	}
}

// SetPaths says which ways there are. What is under way on one that is gone is
// due at once on another; when doubt begins, all that is under way on the direct
// one goes once the other way as well. Of a peer that is not known to know
// flows nothing is sent twice.
func (s *Sender) SetPaths(now time.Time, p Paths) {
	s.at(now)
	was := s.paths
	if p == was {
		return
	}
	s.paths = p
	if p.there() != was.there() {
		for kind := range s.windows {
			s.windows[kind].trips.forget()
		}
	}
	s.full &= p.there()
	if !s.peer.announced {
		return
	}
	s.leave(Both &^ p.there())
	s.wake()
	if p.Doubt && !was.Doubt {
		s.double()
	}
	if !p.Doubt {
		s.forgetAlso()
	}
	if was.there() == 0 && s.held() > 0 {
		s.question.due = true
	}
}

// leave takes everything off ways that are gone.
func (s *Sender) leave(gone Path) {
	for i := range s.transits {
		if s.transits[i].path&gone != 0 {
			s.drop(&s.transits[i])
		}
	}
}

// drop takes all for lost that is under way on one path.
func (s *Sender) drop(t *transit) {
	for kind := range kinds {
		s.dropKind(t, kind)
	}
}

func (s *Sender) dropKind(t *transit, kind int) {
	u := &t.under[kind]
	for m := u.first; m != nil; m = u.first {
		s.lost(t, m)
	}
}

// lost takes a message off a path; when it is on no other, it is due again.
func (s *Sender) lost(t *transit, m *message) {
	s.unlink(m, t.path)
	s.stats.Lost += uint64(m.n) // not negative
	if m.underWay() == 0 {
		s.again(s.kept.find(m.sequence))
	}
}

// again makes due what is on no way any more.
func (s *Sender) again(pos int) {
	s.kept.marks[also].remove(pos)
	s.due(pos)
}

func (s *Sender) due(pos int) { s.kept.marks[due+s.kept.slots[pos].item.kind].add(pos) }

// double marks all that is under way for the other way.
func (s *Sender) double() {
	for kind := range kinds {
		for m := s.transits[0].under[kind].first; m != nil; m = m.ways[0].links[ofKind].next {
			s.kept.marks[also].add(s.kept.find(m.sequence))
		}
	}
}

func (s *Sender) forgetAlso() {
	marked := &s.kept.marks[also]
	for pos := marked.next(0); pos >= 0; pos = marked.next(pos) {
		marked.remove(pos)
	}
}

// wake makes due what was refused for a time.
func (s *Sender) wake() {
	marked := &s.kept.marks[later]
	for pos := marked.next(0); pos >= 0; pos = marked.next(pos) {
		marked.remove(pos)
		s.due(pos)
	}
}
