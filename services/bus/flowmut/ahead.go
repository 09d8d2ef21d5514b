package flow

import "slices"

// ahead keeps what has come before its turn, in stretches of sequences that need
// not come any more. Their number is bounded, so that none of its verbs costs more
// for what is kept.
type ahead struct {
	stretches []stretch // rise, and do not touch
	bytes     int
}

// stretch is a run of sequences that have come, or for which nothing comes.
type stretch struct {
	first, last uint64
	head, tail  *early
}

// early is a message that waits for those before it.
type early struct {
	sequence       uint64
	size           int
	value          any
	previous, next *early
}

// join puts what waits in the other one behind.
func (s *stretch) join(o stretch) {
	switch {
	case o.head == nil:
	case s.head == nil:
		s.head, s.tail = o.head, o.tail
	default:
		s.tail.next, o.head.previous = o.head, s.tail
		s.tail = o.tail
	}
}

// has says whether a sequence need not come any more.
func (a *ahead) has(sequence uint64) bool {
	i := a.at(sequence)
	return i < len(a.stretches) && a.stretches[i].first <= sequence
}

// at is the first stretch that ends at a sequence or behind it.
func (a *ahead) at(sequence uint64) int {
	for i := range a.stretches {
		if a.stretches[i].last >= sequence {
			return i
		}
	}
	return len(a.stretches)
}

// put adds a message that it does not have, before which nothing comes from first
// on: what came from there all the same, the sender has given up. It refuses what
// would make more than limit stretches; fresh says that there is one more.
func (a *ahead) put(first uint64, m *early, limit int) (fresh, ok bool) {
	i := a.at(first - 1)
	j := i
	for j < len(a.stretches) && a.stretches[j].first <= m.sequence+1 {
		j++
	}
	if i == j && len(a.stretches) >= limit {
		return false, false
	}
	a.bytes += m.size
	a.merge(i, j, stretch{first, m.sequence, m, m})
	return i == j, true
}

// merge puts one stretch in the place of those that it overlaps or touches.
func (a *ahead) merge(i, j int, with stretch) {
	made := stretch{first: with.first, last: with.last}
	placed := false
	for _, s := range a.stretches[i:j] {
		made.first, made.last = min(made.first, s.first), max(made.last, s.last)
		if s.first > with.last {
			made.join(stretch{head: with.head, tail: with.tail})
			placed = true
		} else {
			a.cut(&s, with.first)
		}
		made.join(s)
	}
	if !placed {
		made.join(with)
	}
	a.stretches = slices.Replace(a.stretches, i, j, made)
}

// cut drops what waits in a stretch from a sequence on.
func (a *ahead) cut(s *stretch, from uint64) {
	for s.tail != nil && s.tail.sequence >= from {
		a.bytes -= s.tail.size
		s.tail = s.tail.previous
		if s.tail == nil {
			s.head = nil
		} else {
			s.tail.next = nil
		}
	}
}

// pass drops what waits for a turn below a sequence.
func (a *ahead) pass(below uint64) {
	for len(a.stretches) > 0 && a.stretches[0].first < below {
		s := &a.stretches[0]
		for s.head != nil && s.head.sequence < below {
			a.bytes -= s.head.size
			s.head = s.head.next
		}
		if s.head == nil {
			s.tail = nil
		} else {
			s.head.previous = nil
		}
		if s.last >= below {
			s.first = below
			return
		}
		a.stretches = slices.Delete(a.stretches, 0, 1)
	}
}

// take gives what is next, when it has come, and the last sequence of its stretch.
func (a *ahead) take(next uint64) (first *early, last uint64, ok bool) {
	if len(a.stretches) == 0 || a.stretches[0].first > next {
		return nil, 0, false
	}
	s := a.stretches[0]
	a.stretches = slices.Delete(a.stretches, 0, 1)
	for e := s.head; e != nil; e = e.next {
		a.bytes -= e.size
	}
	return s.head, s.last, true
}
