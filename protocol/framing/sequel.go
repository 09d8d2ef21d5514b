package framing

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// Messages from one sender to one receiver have most in common but their bodies. In a
// packet each leaves out what is as in the one before it (pb.Sequel); a packet can be
// read without any other.

// What a sequel may leave out: bits of pb.Sequel.same.
const (
	sameType = 1 << iota
	sameFrom
	sameTo
	sameOrigin
	sameFlowRuntime
	sameFlowEpoch
	sameFlowID
	sameBits = iota
)

// Field numbers of pb.Sequel.
const (
	sequelMessage = 1
	sequelSame    = 2
	sequelSameID  = 3
)

// Field numbers of pb.Message that are written here.
const (
	messageID   = 1
	messageFlow = 14
)

// sequels writes messages as sequels. It keeps what it writes them out of.
type sequels struct {
	message pb.Message
	flow    pb.Flow
}

// append appends a message as the sequel of another, as a field of a pb.Frame.
func (s *sequels) append(b []byte, m, before shortMessage) []byte {
	if m.Alike() && m.Head() == before.Head() && m.Head().Flow.GetReplica() == "" {
		return appendAlike(b, m.Carried, before.ID())
	}
	rest, same, sameID := s.rest(m.Message(), before.Head(), before.ID())
	size := codec.Size(rest)
	return appendMessage(appendSequel(b, same, sameID, size), rest, size)
}

// appendSequel begins a sequel, of which so many bytes of a message follow.
func appendSequel(b []byte, same uint32, sameID, size int) []byte {
	var head [3 * protowireHead]byte
	h := protowire.AppendTag(head[:0], sequelSame, protowire.VarintType)
	h = protowire.AppendVarint(h, uint64(same))
	h = protowire.AppendTag(h, sequelSameID, protowire.VarintType)
	h = protowire.AppendVarint(h, uint64(sameID)) // a length
	h = protowire.AppendTag(h, sequelMessage, protowire.BytesType)
	h = protowire.AppendVarint(h, uint64(size)) // a size
	b = protowire.AppendTag(b, frameSequels, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(h)+size)) // a size
	return append(b, h...)
}

// appendAlike appends the sequel of a message that is alike to the one before it: what it
// has for itself is as it is encoded already.
func appendAlike(b []byte, m codec.Carried, beforeID string) []byte {
	own, head := m.Own(), m.Head()
	sameID := commonStart(own.ID, beforeID)
	id := own.ID[sameID:]
	size := sizeOf(len(id)) + len(own.Fields[0]) + len(own.Fields[1])
	if head.Flow != nil {
		size += 1 + protowire.SizeBytes(len(own.Place))
	}
	b = appendSequel(b, sameAsHead(head), sameID, size)
	if id != "" {
		b = protowire.AppendTag(b, messageID, protowire.BytesType)
		b = protowire.AppendString(b, id)
	}
	b = append(append(b, own.Fields[0]...), own.Fields[1]...)
	if head.Flow != nil {
		b = protowire.AppendTag(b, messageFlow, protowire.BytesType)
		b = protowire.AppendBytes(b, own.Place)
	}
	return b
}

// sizeOf is the size of a text of so many bytes as a field of a message, which is not
// there when it is empty.
func sizeOf(text int) int {
	if text == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(text)
}

// sameAsHead is all that a message leaves out of what is in its head.
func sameAsHead(head *pb.Message) (same uint32) {
	for _, f := range []struct {
		is  bool
		bit uint32
	}{
		{head.Type != "", sameType},
		{head.From != "", sameFrom},
		{head.To != "", sameTo},
		{len(head.Origin) > 0, sameOrigin},
		{head.Flow.GetRuntime() != "", sameFlowRuntime},
		{head.Flow.GetEpoch() != 0, sameFlowEpoch},
		{head.Flow.GetId() != 0, sameFlowID},
	} {
		if f.is {
			same |= f.bit
		}
	}
	return same
}

// protowireHead bounds a tag of one byte and a number.
const protowireHead = 1 + 10

// rest is a message without what is as in the one before, but for its id, which is given.
func (s *sequels) rest(m, before *pb.Message, beforeID string) (rest *pb.Message, same uint32, sameID int) {
	if codec.HasUnknown(m) {
		return m, 0, 0
	}
	r := &s.message
	r.Via, r.Source, r.P2P, r.P2PHandler, r.P2PRequester = m.Via, m.Source, m.P2P, m.P2PHandler, m.P2PRequester
	r.Body, r.Resource, r.Number, r.Trace = m.Body, m.Resource, m.Number, m.Trace
	sameID = commonStart(m.Id, beforeID)
	r.Id = m.Id[sameID:]
	same |= leaveOut(&r.Type, m.Type, before.Type, sameType)
	same |= leaveOut(&r.From, m.From, before.From, sameFrom)
	same |= leaveOut(&r.To, m.To, before.To, sameTo)
	if r.Origin = m.Origin; len(m.Origin) > 0 && bytes.Equal(m.Origin, before.Origin) {
		r.Origin, same = nil, same|sameOrigin
	}
	if r.Flow = m.Flow; m.Flow != nil && before.Flow != nil && !codec.FlowHasUnknown(m.Flow) {
		r.Flow = &s.flow
		same |= s.restOfFlow(m.Flow, before.Flow)
	}
	return r, same, sameID
}

func (s *sequels) restOfFlow(f, before *pb.Flow) (same uint32) {
	r := &s.flow
	r.Sequence, r.Base, r.After, r.Acks, r.Refused = f.Sequence, f.Base, f.After, f.Acks, f.Refused
	r.Replica, r.Receiver = f.Replica, f.Receiver
	return leaveOut(&r.Runtime, f.Runtime, before.Runtime, sameFlowRuntime) |
		leaveOut(&r.Epoch, f.Epoch, before.Epoch, sameFlowEpoch) | leaveOut(&r.Id, f.Id, before.Id, sameFlowID)
}

// leaveOut sets a field of the rest, unless it is as before: then it gives its bit.
func leaveOut[V comparable](rest *V, is, before V, bit uint32) uint32 {
	var none V
	if is != before || is == none {
		*rest = is
		return 0
	}
	*rest = none
	return bit
}

// commonStart is how many bytes two texts begin with alike, in whole characters.
func commonStart(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	for n > 0 && n < len(a) && !utf8.RuneStart(a[n]) {
		n--
	}
	return n
}

// complete puts into a sequel what it has left out. Ids of a packet share memory.
func complete(s *pb.Sequel, before *pb.Message, ids *strings.Builder) (*pb.Message, error) {
	m := s.GetMessage()
	switch {
	case m == nil || before == nil:
		return nil, fault.New(fault.BadRequest, "sequel without a message")
	case s.GetSame() >= 1<<sameBits:
		return nil, fault.New(fault.BadRequest, "sequel leaves out unknown fields: %d", s.GetSame())
	case int64(s.GetSameId()) > int64(len(before.Id)):
		return nil, fault.New(fault.BadRequest, "sequel has %d bytes of an id of %d", s.GetSameId(), len(before.Id))
	case s.GetSame()&(sameFlowRuntime|sameFlowEpoch|sameFlowID) != 0 && (m.Flow == nil || before.Flow == nil):
		return nil, fault.New(fault.BadRequest, "sequel leaves out fields of a flow, and there is none")
	}
	if s.GetSameId() > 0 {
		m.Id = joined(ids, before.Id[:s.GetSameId()], m.Id)
	}
	if !utf8.ValidString(m.Id) {
		return nil, fault.New(fault.BadRequest, "sequel cuts a character of an id")
	}
	putIn(&m.Type, before.Type, s.GetSame()&sameType)
	putIn(&m.From, before.From, s.GetSame()&sameFrom)
	putIn(&m.To, before.To, s.GetSame()&sameTo)
	if s.GetSame()&sameOrigin != 0 {
		m.Origin = before.Origin
	}
	if m.Flow != nil && before.Flow != nil {
		putIn(&m.Flow.Runtime, before.Flow.Runtime, s.GetSame()&sameFlowRuntime)
		putIn(&m.Flow.Epoch, before.Flow.Epoch, s.GetSame()&sameFlowEpoch)
		putIn(&m.Flow.Id, before.Flow.Id, s.GetSame()&sameFlowID)
	}
	return m, nil
}

// joined is one text behind the other, in memory that several share.
func joined(in *strings.Builder, a, b string) string {
	from := in.Len()
	in.WriteString(a)
	in.WriteString(b)
	return in.String()[from:]
}

func putIn[V any](field *V, before V, bit uint32) {
	if bit != 0 {
		*field = before
	}
}
