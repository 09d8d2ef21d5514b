package codec

// intoLot takes a delivery, which is at a place of the frame, into a lot; false when it is
// to be read by itself. It fails when its sequels are not as they may be.
func (m *Received) intoLot(f frame, from, to int) (bool, error) {
	first := firstEnd(f.data[:to], from)
	if !m.firstIntoLot(f, from, first, first < to) {
		return false, nil
	}
	for first < to {
		if first = m.lot.follow(f.data[:to], first); first < 0 {
			return false, errSequels
		}
	}
	return true, nil
}

// firstEnd is where the sequels of a delivery begin, or else where it ends.
func firstEnd(b []byte, at int) int {
	name := placeOf(b, at, tag(1, bytes))
	message := placeOf(b, max(at, int(name.to)), tag(2, bytes))
	if end := int(message.to); end > 0 && end < len(b) && b[end] == tag(9, bytes) {
		return end
	}
	return len(b)
}

// firstIntoLot is intoLot of the message of a delivery, which has sequels or not.
func (m *Received) firstIntoLot(f frame, from, to int, sequels bool) bool {
	if m.lot != nil {
		if m.lot.add(f.data[:to], from) {
			return true
		}
		m.endLot(f)
	}
	if m.Whole || !f.lent || f.memory == nil || !sequels && to-from < longFromFrame && !isFollowed(f.data, from, to) {
		return false
	}
	l, _ := lots.Get().(*Lot)
	if !m.beginLot(l, f.data[:to], from) || !l.add(f.data[:to], from) {
		l.Free()
		return false
	}
	l.data, m.lot = f.data, l
	return true
}

// isFollowed tells whether another delivery for the same listener follows one.
func isFollowed(data []byte, from, to int) bool {
	name, next := placeOf(data[:to], from, tag(1, bytes)), placeOf(data, to, tag(3, bytes))
	if name.to == 0 || next.to == 0 {
		return false
	}
	_, ok := skipAlike(data[:next.to], int(next.from), data[from:name.to])
	return ok
}

// beginLot reads what a delivery has in common with others, with which those behind it are
// compared. False when it has something else, or something is wrong with it.
func (m *Received) beginLot(l *Lot, b []byte, at int) bool {
	name := placeOf(b, at, tag(1, bytes))
	message := placeOf(b, int(name.to), tag(2, bytes))
	begin := message.from
	via := placeOf(b, int(begin), tag(5, bytes))
	if via.to > 0 {
		begin = via.to
	}
	id := placeOf(b, int(begin), tag(1, bytes))
	if name.to == 0 || message.to == 0 || id.to == 0 {
		return false
	}
	k, r := &m.known, &reader{b: b, at: int(id.to)}
	k.copies = true
	k.begin(int(message.to - message.from))
	l.listener = m.listener(r, b[name.from:name.to])
	l.more = k.readsHeading(r, &l.head) || via.to > 0
	if via.to > 0 {
		if r.err == nil && says(b[id.to:r.at], tag(5, bytes)) { // which is what is meant, even if it is empty
			return false
		}
		l.head.Via = k.text(k.heading.via, r, b[via.from:via.to])
	}
	if r.err != nil || r.odd || len(r.rest) > 0 {
		return false
	}
	l.alike = alike{listener: b[at:name.to], via: b[message.from:begin], heading: b[id.to:r.at]}
	at = r.at
	if body := placeOf(b, at, tag(10, bytes)); body.to > 0 {
		at = int(body.to)
	}
	if origin := placeOf(b, at, tag(12, bytes)); origin.to > 0 {
		l.alike.origin = b[at:origin.to]
		l.head.Origin = k.originOf(b[origin.from:origin.to])
	}
	return true
}

// says tells whether a field is in some that are encoded, even if it is empty.
func says(fields []byte, t byte) bool {
	for r := (reader{b: fields}); r.next(); {
		if r.tag == t {
			return true
		}
	}
	return false
}

// endLot hands over the lot that goes on no more, or what is in it, if that is little.
func (m *Received) endLot(f frame) {
	l := m.lot
	m.lot = nil
	switch {
	case l == nil:
	case l.keeps(cap(f.data)):
		f.memory.Ref()
		l.memory = f.memory
		m.Groups = append(m.Groups, Group{l.listener, l.Len(), l})
	default:
		for i := range l.entries {
			*m.next() = Delivered{Carried: Bare(l.open(&l.entries[i], &m.arena)), Size: l.Size(i)}
			m.count(l.listener)
		}
		l.Free()
	}
}
