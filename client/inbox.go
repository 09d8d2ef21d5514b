package client

import "github.com/peerbus/peerbus/protocol/codec"

// inbox is what waits for the goroutine of a listener.
type inbox struct {
	groups []group
	// all are the messages of all groups. One that has none has been taken before: only
	// credit is given for it.
	all []codec.Delivered
}

// group is how many messages, one behind the other, came by one name and on one stream.
type group struct {
	name   string
	epoch  int // of the stream: credit for them is for that one alone
	length int
	lot    *codec.Lot // that they are in; nil for those in inbox.all
}

func (b *inbox) add(g group, all []codec.Delivered) {
	b.all = append(b.all, all...)
	if n := len(b.groups) - 1; n >= 0 && g.lot == nil && b.groups[n].lot == nil && b.groups[n].epoch == g.epoch && b.groups[n].name == g.name {
		b.groups[n].length += g.length
		return
	}
	b.groups = append(b.groups, g)
}

// clear makes it empty, and keeps its memory.
func (b *inbox) clear() {
	clear(b.all)
	clear(b.groups)
	b.all, b.groups = b.all[:0], b.groups[:0]
}
