package client

// owed is credit for a listener, under a name, that waits for a frame.
type owed struct {
	listener string
	bytes    uint32 // the outbox's; 0 while it does not wait
}

// owing is all of it. Nothing is looked up while it is little, and to go over it takes no
// longer than it has. A name may be there several times, as a listener for all names makes
// another owed when the name changes; then it is merged now and then, so that there are never
// more than twice as many as names, or manyOwing.
type owing struct {
	all   []*owed
	merge int // at so many; 0 is manyOwing
}

const manyOwing = 1024

func (o *owing) add(c *owed, bytes uint32) {
	if c.bytes == 0 {
		if len(o.all) >= max(o.merge, manyOwing) {
			o.merged()
		}
		o.all = append(o.all, c)
	}
	c.bytes += bytes
}

// merged leaves each name once.
func (o *owing) merged() {
	names, n := make(map[string]*owed, len(o.all)), 0
	for _, c := range o.all {
		if first := names[c.listener]; first != nil {
			first.bytes += c.bytes
			c.bytes = 0
			continue
		}
		names[c.listener] = c
		o.all[n] = c
		n++
	}
	clear(o.all[n:])
	o.all, o.merge = o.all[:n], 2*n
}

// clear keeps the memory of a few.
func (o *owing) clear() {
	for _, c := range o.all {
		c.bytes = 0
	}
	clear(o.all)
	if o.all, o.merge = o.all[:0], 0; cap(o.all) > manyOwing {
		o.all = nil
	}
}
