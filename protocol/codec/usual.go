package codec

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Usual is type, from and to of the message that was posted last, encoded: the next one
// has mostly the same ones, and nothing else but id and body. Its zero value is of a
// message that has none of them.
type Usual struct {
	encoded        []byte
	kind, from, to string // the message's own, which are mostly the next one's too, and need no look then
	full           bool   // it has all three
	row            uint64 // counts those that were noted
}

// maxUsual bounds the bytes of the texts.
const maxUsual = 1 << 10

func (u *Usual) is(m *pb.Message) bool {
	return u.to == m.To && u.from == m.From && u.kind == m.Type && isPlain(m)
}

// note tells whether it is of that message from then on.
func (u *Usual) note(m *pb.Message) bool {
	if !isPlain(m) || len(m.Type)+len(m.From)+len(m.To) > maxUsual {
		return false
	}
	u.kind, u.from, u.to = m.Type, m.From, m.To
	u.encoded = appendText(appendText(appendText(u.encoded[:0], 2, u.kind), 3, u.from), 4, u.to)
	u.full = m.Type != "" && m.From != "" && m.To != ""
	u.row++
	return true
}

// Forget has nothing of the message kept: its texts may be part of something long.
func (u *Usual) Forget() { *u = Usual{encoded: u.encoded[:0], row: u.row} }

// isPlain tells whether a message has no more than id, type, from, to and body.
func isPlain(m *pb.Message) bool {
	return m.Via == "" && m.Source == "" && !m.P2P && m.P2PHandler == "" && m.P2PRequester == "" && m.Resource == nil &&
		len(m.Origin) == 0 && m.Number == 0 && m.Flow == nil && m.Trace == nil && len(unknownInMessage.of(m)) == 0
}
