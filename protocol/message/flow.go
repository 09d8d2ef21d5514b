package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/once"
)

// FlowV1 is how a peer announces that it knows flows: in the Connection object's
// data, in a registration, and when it opens a session at a Message Node.
const FlowV1 = "peerbus.v1"

// FlowType is the type of a message that carries nothing but acks.
const FlowType = "flow"

// Bounds of what stands in a message for its flow.
const (
	MaxOrigin  = once.MaxOrigin // bytes
	MaxReplica = 64             // bytes
	MaxAcks    = 16             // in one message
	MaxRanges  = 256            // in one ack, of each kind
)

// Announces tells whether flows are among the announcements of a peer.
func Announces(flows []string) bool { return slices.Contains(flows, FlowV1) }

// WithoutFlow gives a message as a peer gets it that does not know flows. The message
// itself is not changed.
func WithoutFlow(m *pb.Message) *pb.Message {
	if m.Flow == nil && len(m.Origin) == 0 && m.Number == 0 {
		return m
	}
	plain := Share(m)
	plain.Origin, plain.Number, plain.Flow = nil, 0, nil
	return plain
}

// Outward gives a message as it leaves the runtime: without via, and, if it is in no flow,
// without the idempotency key, which nobody could then use. The message itself is not
// changed.
func Outward(m *pb.Message) *pb.Message {
	keyed := len(m.Origin) > 0 || m.Number != 0
	if m.Via == "" && (m.Flow != nil || !keyed) {
		return m
	}
	out := Share(m)
	out.Via = ""
	if m.Flow == nil {
		out.Origin, out.Number = nil, 0
	}
	return out
}

// OutwardCarried is Outward of a message whose bytes may be known.
func OutwardCarried(c codec.Carried) codec.Carried {
	if m := c.Head(); m.Via == "" && m.Flow != nil {
		return c
	}
	m := c.Message()
	if out := Outward(m); out != m {
		return codec.Bare(out)
	}
	return c
}

// Share gives another message with the same content, none of which is copied: its own
// fields may be set, but what they refer to must not be changed.
func Share(m *pb.Message) *pb.Message {
	out := &pb.Message{}
	shareInto(out, m)
	return out
}

// shareInto is Share into an empty message.
func shareInto(out, m *pb.Message) {
	out.Id, out.Type, out.From, out.To, out.Via, out.Source = m.Id, m.Type, m.From, m.To, m.Via, m.Source
	out.P2P, out.P2PHandler, out.P2PRequester = m.P2P, m.P2PHandler, m.P2PRequester
	out.Body, out.Resource = m.Body, m.Resource
	out.Origin, out.Number, out.Flow, out.Trace = m.Origin, m.Number, m.Flow, m.Trace
}

// validateFlow bounds what comes from outside.
func validateFlow(m *pb.Message) error {
	if len(m.Origin) > MaxOrigin {
		return fault.New(fault.BadRequest, "flow.origin is longer than %d bytes", MaxOrigin)
	}
	f := m.Flow
	if f == nil {
		return nil
	}
	switch {
	case f.Runtime == "":
		return missing("flow.runtime")
	case len(f.Replica) > MaxReplica:
		return fault.New(fault.BadRequest, "flow.replica is longer than %d bytes", MaxReplica)
	case len(f.Acks) > MaxAcks:
		return fault.New(fault.BadRequest, "flow has more than %d acks", MaxAcks)
	}
	for _, a := range f.Acks {
		if a == nil || len(a.ReceivedBeyond) > MaxRanges || len(a.DealtBeyond) > MaxRanges || len(a.Refusals) > MaxRanges {
			return fault.New(fault.BadRequest, "flow.acks has more than %d ranges", MaxRanges)
		}
	}
	return nil
}

// refusedFlow is what a refusal by a stub or a Message Node says of the flow of
// the message that it refuses: that message has not arrived.
func refusedFlow(req *pb.Message) *pb.Flow {
	f := req.GetFlow()
	if f.GetSequence() == 0 {
		return nil
	}
	return &pb.Flow{Runtime: f.Runtime, Epoch: f.Epoch, Id: f.Id, Sequence: f.Sequence, Refused: true}
}

// flowJSON is the field `flow`. Numbers that may be beyond 2^53 are strings.
type flowJSON struct {
	Runtime  string        `json:"runtime,omitempty"`
	Epoch    number        `json:"epoch,omitempty"`
	ID       number        `json:"id,omitempty"`
	Sequence number        `json:"sequence,omitempty"`
	Base     number        `json:"base,omitempty"`
	After    number        `json:"after,omitempty"`
	Acks     list[ackJSON] `json:"acks,omitempty"`
	Refused  bool          `json:"refused,omitempty"`
	Origin   []byte        `json:"origin,omitempty"`
	Number   number        `json:"number,omitempty"`
	Replica  string        `json:"replica,omitempty"`
	Receiver number        `json:"receiver,omitempty"`
}

type ackJSON struct {
	Epoch          number            `json:"epoch,omitempty"`
	ID             number            `json:"id,omitempty"`
	Receiver       number            `json:"receiver,omitempty"`
	Received       number            `json:"received,omitempty"`
	ReceivedBeyond list[[2]number]   `json:"receivedBeyond,omitempty"`
	Dealt          number            `json:"dealt,omitempty"`
	DealtBeyond    list[[2]number]   `json:"dealtBeyond,omitempty"`
	Refusals       list[refusalJSON] `json:"refusals,omitempty"`
}

type refusalJSON struct {
	Sequence    number `json:"sequence"`
	Code        int32  `json:"code"`
	Description string `json:"description,omitempty"`
}

// list is a JSON array of what others may send MaxRanges of at most. No more of it is
// read than shows that it is longer: its elements are larger here than their text.
type list[T any] []T

// UnmarshalJSON is json.Unmarshaler's.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	switch begin, err := d.Token(); {
	case err != nil || begin == nil: // null
		return err
	case begin != json.Delim('['):
		return errNoList
	}
	for len(*l) <= MaxRanges && d.More() {
		var one T
		if err := d.Decode(&one); err != nil {
			return err
		}
		*l = append(*l, one)
	}
	return nil
}

var errNoList = errors.New("it is no array")

// number is a uint64 as a string; as a JSON number it is taken too.
type number uint64

func (n number) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 22), '"')
	b = strconv.AppendUint(b, uint64(n), 10)
	return append(b, '"'), nil
}

func (n *number) UnmarshalJSON(b []byte) error {
	if len(b) >= 2 && b[0] == '"' {
		b = b[1 : len(b)-1]
	}
	v, err := strconv.ParseUint(string(b), 10, 64)
	*n = number(v)
	return err
}

// appendFlow writes `,"flow":{…}`, or nothing.
func appendFlow(dst []byte, m *pb.Message) ([]byte, error) {
	if m.Flow == nil && len(m.Origin) == 0 && m.Number == 0 {
		return dst, nil
	}
	f := m.Flow
	j := flowJSON{
		Runtime: f.GetRuntime(), Epoch: number(f.GetEpoch()), ID: number(f.GetId()), Sequence: number(f.GetSequence()),
		Base: number(f.GetBase()), After: number(f.GetAfter()), Refused: f.GetRefused(), Origin: m.Origin, Number: number(m.Number),
		Replica: f.GetReplica(), Receiver: number(f.GetReceiver()),
	}
	for _, a := range f.GetAcks() {
		j.Acks = append(j.Acks, ackToJSON(a))
	}
	b, err := json.Marshal(j)
	if err != nil {
		return dst, fault.New(fault.Internal, "flow: %w", err)
	}
	dst = append(dst, `,"flow":`...)
	return append(dst, b...), nil
}

func ackToJSON(a *pb.FlowAck) ackJSON {
	j := ackJSON{
		Epoch: number(a.GetEpoch()), ID: number(a.GetId()), Receiver: number(a.GetReceiver()),
		Received: number(a.GetReceived()), ReceivedBeyond: pairs(a.GetReceivedBeyond()),
		Dealt: number(a.GetDealt()), DealtBeyond: pairs(a.GetDealtBeyond()),
	}
	for _, r := range a.GetRefusals() {
		j.Refusals = append(j.Refusals, refusalJSON{number(r.GetSequence()), r.GetCode(), r.GetDescription()})
	}
	return j
}

func pairs(ranges []*pb.Range) (out [][2]number) {
	for _, r := range ranges {
		out = append(out, [2]number{number(r.GetFirst()), number(r.GetLast())})
	}
	return out
}

// parseFlow reads the field `flow` into a message. Of another shape it is not
// ours, and says nothing.
func parseFlow(m *pb.Message, raw []byte) {
	var j flowJSON
	if json.Unmarshal(raw, &j) != nil {
		return
	}
	m.Origin, m.Number = j.Origin, uint64(j.Number)
	if j.Runtime == "" {
		return // the key alone
	}
	m.Flow = &pb.Flow{
		Runtime: j.Runtime, Epoch: uint64(j.Epoch), Id: uint64(j.ID), Sequence: uint64(j.Sequence),
		Base: uint64(j.Base), After: uint64(j.After), Refused: j.Refused,
		Replica: j.Replica, Receiver: uint64(j.Receiver),
	}
	for _, a := range j.Acks {
		m.Flow.Acks = append(m.Flow.Acks, ackFromJSON(a))
	}
}

func ackFromJSON(j ackJSON) *pb.FlowAck {
	a := &pb.FlowAck{
		Epoch: uint64(j.Epoch), Id: uint64(j.ID), Receiver: uint64(j.Receiver),
		Received: uint64(j.Received), ReceivedBeyond: ranges(j.ReceivedBeyond),
		Dealt: uint64(j.Dealt), DealtBeyond: ranges(j.DealtBeyond),
	}
	for _, r := range j.Refusals {
		a.Refusals = append(a.Refusals, &pb.FlowRefusal{Sequence: uint64(r.Sequence), Code: r.Code, Description: r.Description})
	}
	return a
}

func ranges(in [][2]number) (out []*pb.Range) {
	for _, p := range in {
		out = append(out, &pb.Range{First: uint64(p[0]), Last: uint64(p[1])})
	}
	return out
}
