package flow

import "sort"

// line holds what has a sequence, in its order: it is added at the end, and
// removed anywhere. Between two that are kept there may be any number that are
// gone, and they take no room: a message that no one deals with does not make
// the line longer while others pass it.
//
// What has several sequences that follow each other has a slot for each, and stands in
// the first: so there is room for what it is split into.
//
// A position is good until the next push. Beside kept there may be marks, sets of
// positions as well.
type line[T any] struct {
	slots []slot[T] // their sequences rise
	kept  set       // positions of those that are not gone
	marks []set
	span  func(T) int // how many sequences an item has; nil: one
}

type slot[T any] struct {
	sequence uint64
	item     T
}

// push adds at the end and returns the position.
func (l *line[T]) push(sequence uint64, item T) int {
	n := l.spanOf(item)
	if len(l.slots)+n > cap(l.slots) {
		l.pack(n)
	}
	at := len(l.slots)
	l.slots = append(l.slots, slot[T]{sequence, item})
	for i := 1; i < n; i++ {
		l.slots = append(l.slots, slot[T]{sequence: sequence + uint64(i)})
	}
	l.kept.add(at)
	return at
}

func (l *line[T]) spanOf(item T) int {
	if l.span == nil {
		return 1
	}
	return l.span(item)
}

// split puts what the item at a position is cut off from its n-th sequence on into the
// slot that it has there, with the same marks, and returns that position.
func (l *line[T]) split(at, n int, rest T) int {
	to := at + n
	l.slots[to].item = rest
	l.kept.add(to)
	for i := range l.marks {
		if l.marks[i].has(at) {
			l.marks[i].add(to)
		}
	}
	return to
}

// pack moves all that are kept together, so that there is room for n more, and doubles
// the room when that takes more than half of it, or halves it when it is less than an
// eighth.
func (l *line[T]) pack(n int) {
	to := 0
	for at := l.kept.next(0); at >= 0; at = l.kept.next(at + 1) {
		span := l.spanOf(l.slots[at].item)
		if to < at {
			l.move(at, to, span)
		}
		to += span
	}
	clear(l.slots[to:])
	l.slots = l.slots[:to]
	room := cap(l.slots)
	switch {
	case to+n-1 > room/2 || room == 0:
		l.resize(max(2*room, 64, 2*(to+n)))
	case to+n-1 < room/8 && room > 1024:
		l.resize(room / 2)
	}
}

func (l *line[T]) move(at, to, span int) {
	copy(l.slots[to:to+span], l.slots[at:at+span])
	shift(&l.kept, at, to)
	for i := range l.marks {
		shift(&l.marks[i], at, to)
	}
}

func shift(s *set, at, to int) {
	if s.has(at) {
		s.remove(at)
		s.add(to)
	}
}

func (l *line[T]) resize(room int) {
	slots := make([]slot[T], len(l.slots), room)
	copy(slots, l.slots)
	l.slots = slots
	l.kept.grow(room)
	for i := range l.marks {
		l.marks[i].grow(room)
	}
}

// remove takes the one at a position out.
func (l *line[T]) remove(at int) {
	var none T
	l.slots[at].item = none
	l.kept.remove(at)
	for i := range l.marks {
		l.marks[i].remove(at)
	}
	if l.kept.count == 0 {
		l.slots = l.slots[:0]
	}
}

// find is the position of a sequence, or -1 when it is gone.
func (l *line[T]) find(sequence uint64) int {
	at := l.search(sequence)
	if at == len(l.slots) || l.slots[at].sequence != sequence || !l.kept.has(at) {
		return -1
	}
	return at
}

// over is the position of what has a sequence, be it its first or another one; or -1.
func (l *line[T]) over(sequence uint64) int {
	at := l.search(sequence)
	if at == len(l.slots) || l.slots[at].sequence != sequence {
		return -1
	}
	if at = l.kept.previous(at); at >= 0 && l.last(at) < sequence {
		return -1
	}
	return at
}

// last is the last sequence of what is kept at a position.
func (l *line[T]) last(at int) uint64 {
	s := &l.slots[at]
	return s.sequence + uint64(l.spanOf(s.item)) - 1 // not negative
}

// from is the position of the first that is kept and not below sequence, or -1.
func (l *line[T]) from(sequence uint64) int {
	return l.kept.next(l.search(sequence))
}

// search is the position of the first slot that is not below sequence. Near the
// end, where no slot is missing, it is a subtraction.
func (l *line[T]) search(sequence uint64) int {
	n := len(l.slots)
	if n == 0 || sequence > l.slots[n-1].sequence {
		return n
	}
	if sequence <= l.slots[0].sequence {
		return 0
	}
	if back := l.slots[n-1].sequence - sequence; back < uint64(n) {
		if at := n - 1 - int(back); l.slots[at].sequence == sequence {
			return at
		}
	}
	return sort.Search(n, func(i int) bool { return l.slots[i].sequence >= sequence })
}
