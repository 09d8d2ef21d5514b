package flow

import "time"

// account is what one address holds of the retention, and what of it has not been
// sent yet, in order.
type account struct {
	address     string
	bytes       int
	first, last *message // that wait
	// deficit is how many bytes it may still send in its turn.
	deficit int
	after   *account // in turns
}

func (a *account) push(m *message) {
	if a.last != nil {
		a.last.behind = m
	} else {
		a.first = m
	}
	a.last = m
}

func (a *account) pop() *message {
	m := a.first
	a.first, m.behind = m.behind, nil
	if a.first == nil {
		a.last, a.deficit = nil, 0
	}
	return m
}

// turns are the accounts whose next message is of one kind: they take turns by
// bytes (deficit round robin), so that none holds up the others, however much
// waits in it.
type turns struct{ first, last *account }

func (t *turns) push(a *account) {
	a.after = nil
	if t.last != nil {
		t.last.after = a
	} else {
		t.first = a
	}
	t.last = a
}

func (t *turns) pop() *account {
	a := t.first
	if t.first = a.after; t.first == nil {
		t.last = nil
	}
	a.after = nil
	return a
}

// next is the account whose turn it is, nil when there is none. An account gets
// quantum bytes more each time that it is passed over.
func (t *turns) next(quantum int) *account {
	if t.first == nil {
		return nil
	}
	for t.first.deficit < t.first.first.sizeOf(0) {
		t.first.deficit += quantum
		t.push(t.pop())
	}
	return t.first
}

// take takes the first n messages at most of the account whose turn it is: as many as it
// may send before the next one has its turn.
func (t *turns) take(n, quantum int) int {
	a := t.first
	if a.after == nil { // it is the next one, over and over
		for size := a.first.sum(n); a.deficit < size; {
			a.deficit += quantum
		}
		return n
	}
	return min(n, a.first.upTo(a.deficit))
}

// wait puts a message at the end of its account.
func (s *Sender) wait(m *message) {
	a := m.account
	if s.waiting == 0 {
		s.oldest = m.since
	}
	s.waiting++
	idle := a.first == nil
	a.push(m)
	if idle {
		a.deficit = s.limits.Short
		s.turns[m.kind].push(a)
	}
}

// start gives the message whose turn it is the next sequence, or the first n of several,
// and returns its position.
func (s *Sender) start(kind, n int) int {
	a := s.turns[kind].first
	if n < a.first.n {
		rest := s.cut(a.first, n)
		rest.behind, a.first.behind = a.first.behind, rest
		if a.last == a.first {
			a.last = rest
		}
		s.waiting++
	}
	a.deficit -= a.first.size
	m := a.pop()
	s.waiting--
	if a.first == nil || a.first.kind != kind {
		s.turns[kind].pop()
		s.queue(a)
	}
	m.sequence = s.sent + 1
	s.sent += uint64(m.n) // not negative
	pos := s.kept.push(m.sequence, m)
	s.kept.marks[missing+kind].add(pos)
	return pos
}

// queue puts an account where its next message has its turn.
func (s *Sender) queue(a *account) {
	if a.first != nil {
		s.turns[a.first.kind].push(a)
	}
}

// giveBack settles what waits, account by account, as long as its first one
// satisfies a condition.
func (s *Sender) giveBack(which func(*message) bool, how Settled) {
	all := s.turns
	s.turns = [kinds]turns{}
	for kind := range all {
		for all[kind].first != nil {
			a := all[kind].pop()
			for a.first != nil && which(a.first) {
				s.waiting--
				s.release(a.pop(), how)
			}
			s.queue(a)
		}
	}
}

// waitingUntil is when what waits is to be looked through for what has waited too
// long. There is no hurry while anything arrives.
func (s *Sender) waitingUntil() time.Duration {
	if s.waiting == 0 {
		return never
	}
	return s.impatient(s.oldest)
}

// impatient is when what has waited since a time is given up. A long message that
// is on its way has its time before.
func (s *Sender) impatient(since time.Duration) time.Duration {
	until := max(since, s.peer.progress) + s.limits.Patience
	if pos := s.kept.marks[missing+long].next(0); pos >= 0 {
		until += s.allowance(s.kept.slots[pos].item)
	}
	return until
}

// dropWaiting gives up what has waited too long.
func (s *Sender) dropWaiting(at time.Duration) {
	if s.waitingUntil() > at {
		return
	}
	s.oldest = never
	s.giveBack(func(m *message) bool {
		if s.impatient(m.since) <= at {
			return true
		}
		s.oldest = min(s.oldest, m.since)
		return false
	}, s.tooLong())
}
