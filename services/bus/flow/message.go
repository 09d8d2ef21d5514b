package flow

import (
	"sort"
	"time"
)

// Kinds of messages. Both ways interleave them, so that neither waits for the
// other: each has a window of its own. A message behind a long one of its lane has
// to wait for it, and counts as long itself.
const (
	short = iota
	long
	kinds
)

// message is what a sender keeps of an Item until it is settled; or messages of a
// Several that follow each other, as long as the same happens to all of them. Then it
// is split.
type message struct {
	sequence uint64 // of the first; 0: it has not been sent, and waits in its account
	value    any
	several  Several // value; nil when that is one message
	from, n  int     // which of several, and how many
	size     int     // of all of them
	kind     int
	account  *account
	lane     *lane
	behind   *message // the next that waits in the account
	// since is when it was posted, or first sent.
	since time.Duration
	tries int
	back  int    // how many transmissions were refused
	ways  [2]leg // indexed as transits
}

// leg is the place of a message among those under way on one path.
type leg struct {
	on    bool
	order uint64 // of the first; rises with each transmission of the flow
	at    time.Duration
	times int // how often it has been sent this way
	links [2]link
}

type link struct{ previous, next *message }

func (m *message) count() int { return m.n }

// sizeOf is the size of the n-th of the messages, and sum that of the first n.
func (m *message) sizeOf(n int) int {
	if m.several == nil {
		return m.size
	}
	return m.several.Size(m.from+n, m.from+n+1)
}

func (m *message) sum(n int) int {
	if n == m.n {
		return m.size
	}
	return m.several.Size(m.from, m.from+n)
}

// upTo is how many of the first messages have so many bytes at most.
func (m *message) upTo(bytes int) int {
	if m.size <= bytes {
		return m.n
	}
	return sort.Search(m.n-1, func(i int) bool { return m.sum(i+1) > bytes })
}

// cutOff takes all but the first n off.
func (m *message) cutOff(n int, rest *message) {
	*rest = *m
	rest.from, rest.n, rest.size = m.from+n, m.n-n, m.size-m.sum(n)
	m.n, m.size = n, m.size-rest.size
	rest.behind = nil
	for i := range rest.ways {
		rest.ways[i].order += uint64(n) // not negative
		rest.ways[i].links = [2]link{}
	}
}

// sentBy says which ways the message has been sent.
func (m *message) sentBy() Path {
	var p Path
	if m.ways[0].times > 0 {
		p |= Direct
	}
	if m.ways[1].times > 0 {
		p |= Relay
	}
	return p
}

// copies is how many transmissions were not refused: a try both ways is two.
func (m *message) copies() int { return m.ways[0].times + m.ways[1].times - m.back }

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

// pool keeps a few values for use again.
type pool[T any] struct{ free []*T }

const pooled = 1024

func (p *pool[T]) get() *T {
	if n := len(p.free); n > 0 {
		v := p.free[n-1]
		p.free = p.free[:n-1]
		return v
	}
	return new(T)
}

func (p *pool[T]) put(v *T) {
	*v = *new(T)
	if len(p.free) < pooled {
		p.free = append(p.free, v)
	}
}
