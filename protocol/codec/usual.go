package codec

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Usual is type, from and to of the message that was posted last, encoded: the next one
// has mostly the same ones, and nothing else but id and body. Its zero value is of a
// message that has none of them.
type Usual struct {
	encoded        []byte
	kind, from, to []byte // in encoded
	row            uint64 // counts those that were noted
}

// maxUsual bounds the bytes of the texts.
const maxUsual = 1 << 10

func (u *Usual) is(m *pb.Message) bool {
	return string(u.to) == m.To && string(u.from) == m.From && string(u.kind) == m.Type && isPlain(m)
}

// note tells whether it is of that message from then on.
func (u *Usual) note(m *pb.Message) bool {
	if !isPlain(m) || len(m.Type)+len(m.From)+len(m.To) > maxUsual {
		return false
	}
	kind := appendText(u.encoded[:0], 2, m.Type)
	from := appendText(kind, 3, m.From)
	to := appendText(from, 4, m.To)
	u.encoded = to
	u.kind, u.from, u.to = to[len(kind)-len(m.Type):len(kind)], to[len(from)-len(m.From):len(from)], to[len(to)-len(m.To):]
	u.row++
	return true
}

// isPlain tells whether a message has no more than id, type, from, to and body.
func isPlain(m *pb.Message) bool {
	return m.Via == "" && m.Source == "" && !m.P2P && m.P2PHandler == "" && m.P2PRequester == "" && m.Resource == nil &&
		len(m.Origin) == 0 && m.Number == 0 && m.Flow == nil && m.Trace == nil && len(unknownInMessage.of(m)) == 0
}
