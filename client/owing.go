package client

// owed is credit for a listener, under a name, that waits for a frame.
type owed struct {
	listener string
	bytes    uint32 // the outbox's; 0 while it does not wait
}

// owing is all of it. Nothing is looked up, and it takes no longer than it has listeners.
type owing []*owed

func (o *owing) add(c *owed, bytes uint32) {
	if c.bytes == 0 {
		*o = append(*o, c)
	}
	c.bytes += bytes
}

func (o *owing) clear() {
	for _, c := range *o {
		c.bytes = 0
	}
	clear(*o)
	if *o = (*o)[:0]; cap(*o) > keptOwing {
		*o = nil
	}
}

// keptOwing is for how many listeners it keeps its memory.
const keptOwing = 1024
