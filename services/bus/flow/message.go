package flow

import "time"

// Kinds of messages. Both ways interleave them, so that neither waits for the
// other: each has a window of its own. A message behind a long one of its lane has
// to wait for it, and counts as long itself.
const (
	short = iota
	long
	kinds
)

// message is what a sender keeps of an Item until it is settled.
type message struct {
	sequence uint64 // 0: it has not been sent, and waits in its account
	value    any
	size     int
	kind     int
	account  *account
	lane     *lane
	behind   *message // the next that waits in the account
	// since is when it was posted, or first sent.
	since time.Duration
	tries int
	ways  [2]leg // indexed as transits
}

// leg is the place of a message among those under way on one path.
type leg struct {
	on    bool
	order uint64 // rises with each transmission of the flow
	at    time.Duration
	links [2]link
}

type link struct{ previous, next *message }

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
