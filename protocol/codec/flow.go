package codec

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// The flow of a message goes behind its encoded bytes, which many transmissions have
// alike:
//
//	message │ flow: name (runtime, epoch, id, replica), place
//
// and is cut off again where the message leaves it.

// FlowName is what all messages of a flow say of it, encoded.
type FlowName []byte

// NewFlowName encodes runtime, epoch, id and replica of a flow.
func NewFlowName(f *pb.Flow) FlowName {
	name, _ := proto.Marshal(&pb.Flow{Runtime: f.Runtime, Epoch: f.Epoch, Id: f.Id, Replica: f.Replica}) // its texts are ours
	return name
}

// FlowPlace is what a message says of its place in a flow, as in pb.Flow.
type FlowPlace struct {
	Sequence, Base, After, Receiver uint64
	Acks                            []*pb.FlowAck
}

// MaxFlow bounds the bytes that AppendFlow appends, acks not counted.
func MaxFlow(name FlowName) int { return len(name) + 64 }

// AppendFlow appends a flow to an encoded message that has none (Message.flow).
func AppendFlow(encoded []byte, name FlowName, at FlowPlace) []byte {
	acks := at.acks()
	return appendFlow(encoded, name, &at, acks, at.size(name, acks))
}

// AppendPassing appends a delivery to an AttachResponse, for a listener of that name: of a
// message in a flow. It also gives the size of the message.
func AppendPassing(frame []byte, listener string, encoded []byte, name FlowName, at FlowPlace) ([]byte, int) {
	acks := at.acks()
	flow := at.size(name, acks)
	size := len(encoded) + sizeWith(flow)
	frame = append(appendDeliveryHead(frame, listener, size, 0), encoded...)
	return appendFlow(frame, name, &at, acks, flow), size
}

// MaxPassing bounds the bytes that AppendPassing appends besides those of the message, acks
// not counted.
func MaxPassing(listener string, name FlowName) int {
	return MaxDelivery(listener) + MaxFlow(name)
}

// SizeOfAcks is how many bytes acks add to a flow.
func SizeOfAcks(acks []*pb.FlowAck) int {
	if len(acks) == 0 {
		return 0
	}
	return proto.Size(&pb.Flow{Acks: acks})
}

func (at *FlowPlace) acks() []byte {
	if len(at.Acks) == 0 {
		return nil
	}
	acks, _ := proto.Marshal(&pb.Flow{Acks: at.Acks}) // their texts have been made valid
	return acks
}

func (at *FlowPlace) size(name FlowName, acks []byte) int {
	return len(name) + len(acks) + sizeNumber(at.Sequence) + sizeNumber(at.Base) + sizeNumber(at.After) + sizeNumber(at.Receiver)
}

func appendFlow(encoded []byte, name FlowName, at *FlowPlace, acks []byte, size int) []byte {
	encoded = appendLength(encoded, 14, size)
	encoded = appendNumber(append(encoded, name...), 4, at.Sequence)
	encoded = append(appendNumber(encoded, 5, at.Base), acks...)
	return appendNumber(appendNumber(encoded, 8, at.After), 10, at.Receiver)
}

// WithoutFlow gives the bytes of an encoded message before its flow; nil unless that is
// the last of it.
func WithoutFlow(encoded []byte) []byte {
	r := reader{b: encoded}
	last, from := byte(0), 0
	for r.next() {
		last, from = r.tag, r.from
	}
	if r.err != nil || r.odd || len(r.rest) > 0 || last != tag(14, bytes) || from == 0 {
		return nil
	}
	return encoded[:from:from]
}
