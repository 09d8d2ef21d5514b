package flow

import "time"

// message is what a sender keeps of an Item until it is settled.
type message struct {
	sequence uint64
	value    any
	size     int
	account  *account
	// since is when it was posted, or first sent.
	since time.Duration
	tries int
	ways  [2]leg // indexed as transits
}

// leg is the place of a message among those under way on one path.
type leg struct {
	on             bool
	previous, next *message
	order          uint64 // rises with each transmission of the flow
	at             time.Duration
}

// underWay says on which ways the message is.
func (m *message) underWay() Path {
	var p Path
	if m.ways[0].on {
		p |= Direct
	}
	if m.ways[1].on {
		p |= Relay
	}
	return p
}

// account is what one address holds of the retention.
type account struct {
	address string
	bytes   int
}

// transit is what is under way on one path: messages in the order in which they
// were last sent over it.
type transit struct {
	way         int // index of the leg
	path        Path
	first, last *message
	// top is the latest transmission known to have arrived; what was sent before
	// it on this path and is still here is lost.
	top uint64
	// progress is when something last arrived.
	progress time.Duration
}

func (t *transit) push(m *message, order uint64, at time.Duration) {
	m.ways[t.way] = leg{on: true, previous: t.last, order: order, at: at}
	if t.last != nil {
		t.last.ways[t.way].next = m
	} else {
		t.first = m
	}
	t.last = m
}

func (t *transit) remove(m *message) {
	l := m.ways[t.way]
	if !l.on {
		return
	}
	if l.previous != nil {
		l.previous.ways[t.way].next = l.next
	} else {
		t.first = l.next
	}
	if l.next != nil {
		l.next.ways[t.way].previous = l.previous
	} else {
		t.last = l.previous
	}
	m.ways[t.way] = leg{order: l.order, at: l.at}
}

// quiet is since when nothing has arrived of what is under way.
func (t *transit) quiet() time.Duration {
	return max(t.first.ways[t.way].at, t.progress)
}

// pool keeps a few messages for use again.
type pool struct{ free []*message }

const pooled = 1024

func (p *pool) get() *message {
	if n := len(p.free); n > 0 {
		m := p.free[n-1]
		p.free = p.free[:n-1]
		return m
	}
	return new(message)
}

func (p *pool) put(m *message) {
	*m = message{}
	if len(p.free) < pooled {
		p.free = append(p.free, m)
	}
}
