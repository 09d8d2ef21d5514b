package client

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/once"
)

// mark marks messages as taken, and takes those out that were before. The numbers of
// their poster rise for each address posted to, and several may lead here.
func (b *Bus) mark(listener string, all []codec.Delivered) {
	var before *pb.Message
	var in once.Conversation
	for i := range all {
		m := all[i].Head()
		if m.GetNumber() == 0 {
			continue
		}
		if before == nil || m.From != before.From || m.To != before.To || string(m.Origin) != string(before.Origin) {
			in = b.conversation(listener, m)
			before = m
		}
		if b.marks.SeenIn(in, m.Number) {
			all[i].Carried = codec.Carried{}
			b.cameAgain(m, listener)
		}
	}
}

func (b *Bus) cameAgain(m *pb.Message, listener string) {
	b.cfg.Log.Debug("came again", "type", m.Type, "from", m.From, "to", m.To, "listener", listener)
}

func (b *Bus) conversation(listener string, m *pb.Message) once.Conversation {
	name := listener
	if m.To != name {
		name += "\x00" + m.To
	}
	return b.marks.Conversation(m.From, name, m.Origin)
}

// markLot is mark of messages that are in a lot.
func (b *Bus) markLot(listener string, lot *codec.Lot) {
	in := b.conversation(listener, lot.Head())
	for i := range lot.Len() {
		if b.marks.SeenIn(in, lot.Number(i)) {
			lot.Drop(i)
			b.cameAgain(lot.Head(), listener)
		}
	}
}
