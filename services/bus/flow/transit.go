package flow

import "time"

// chain is messages under way on one path, in the order in which they were last
// sent over it: those of a kind, or those of a lane.
type chain struct {
	way, link   int // where a message has its place in it
	first, last *message
}

// Links of a leg.
const (
	ofKind = iota
	ofLane
)

func (c *chain) of(m *message) *link { return &m.ways[c.way].links[c.link] }

func (c *chain) push(m *message) {
	*c.of(m) = link{previous: c.last}
	if c.last != nil {
		c.of(c.last).next = m
	} else {
		c.first = m
	}
	c.last = m
}

// follow puts a message right behind another one.
func (c *chain) follow(before, m *message) {
	l := c.of(before)
	*c.of(m) = link{previous: before, next: l.next}
	if l.next != nil {
		c.of(l.next).previous = m
	} else {
		c.last = m
	}
	l.next = m
}

func (c *chain) remove(m *message) {
	l := c.of(m)
	if l.previous != nil {
		c.of(l.previous).next = l.next
	} else {
		c.first = l.next
	}
	if l.next != nil {
		c.of(l.next).previous = l.previous
	} else {
		c.last = l.previous
	}
	*l = link{}
}

// transit is what is under way on one path.
type transit struct {
	way   int // index of the leg
	path  Path
	under [kinds]under
	// top is the latest transmission known to have arrived, of any lane.
	top uint64
	// progress is when something last arrived.
	progress time.Duration
}

// under is what is under way of one kind.
type under struct {
	chain
	// since is when the one before the first arrived, and passed how many bytes
	// have arrived by the path since then.
	since  time.Duration
	passed int
}

func newTransit(way int, path Path) transit {
	t := transit{way: way, path: path}
	for kind := range t.under {
		t.under[kind].way = way
	}
	return t
}

func (t *transit) push(m *message, order uint64, at time.Duration) {
	l := &m.ways[t.way]
	l.on, l.order, l.at = true, order, at
	l.times++
	u := &t.under[m.kind]
	if u.first == nil {
		u.since, u.passed = at, 0
	}
	u.push(m)
	m.lane.under[t.way].push(m)
}

// follow puts what was cut off a message behind it, where that is.
func (t *transit) follow(before, m *message) {
	if before.ways[t.way].on {
		t.under[m.kind].follow(before, m)
		m.lane.under[t.way].follow(before, m)
	}
}

func (t *transit) remove(m *message) {
	l := &m.ways[t.way]
	if !l.on {
		return
	}
	t.under[m.kind].remove(m)
	m.lane.under[t.way].remove(m)
	l.on = false
}

// received notes that a message has arrived which is on this path.
func (t *transit) received(at time.Duration, m *message) {
	for kind := range t.under {
		u := &t.under[kind]
		u.passed += m.size
		if u.first == m {
			u.since, u.passed = at, 0
		}
	}
}

// quiet is since when nothing has arrived, while there was something of a kind
// under way.
func (t *transit) quiet(kind int) time.Duration {
	return max(t.under[kind].first.ways[t.way].at, t.progress)
}

// lane is what a path keeps the order of.
type lane struct {
	name  string
	kept  int // messages that are not settled
	long  int // of these, long ones
	under [2]chain
	// top is the latest transmission of each path known to have arrived; what was
	// sent before it there and is still under way is lost.
	top     [2]uint64
	touched bool // top has changed
}
