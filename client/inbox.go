package client

import "github.com/peerbus/peerbus/protocol/codec"

// inbox is what waits for the goroutine of a listener.
type inbox struct {
	runs []run
	// all are the messages of all runs. One that has none has been taken before: only
	// credit is given for it.
	all []codec.Delivered
}

// run is how many messages, one behind the other, came by one name and on one stream.
type run struct {
	name   string
	epoch  int // of the stream: credit for them is for that one alone
	length int
	lot    *codec.Lot // that they are in; nil for those in inbox.all
}

func (b *inbox) add(r run, all []codec.Delivered) {
	b.all = append(b.all, all...)
	if n := len(b.runs) - 1; n >= 0 && r.lot == nil && b.runs[n].lot == nil && b.runs[n].epoch == r.epoch && b.runs[n].name == r.name {
		b.runs[n].length += r.length
		return
	}
	b.runs = append(b.runs, r)
}

// clear makes it empty, and keeps its memory.
func (b *inbox) clear() {
	clear(b.all)
	clear(b.runs)
	b.all, b.runs = b.all[:0], b.runs[:0]
}
