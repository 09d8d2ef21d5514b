package status

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// Body of a status message.
type Body struct {
	State  State
	Remote string // URL of the remote runtime
	Reason string // why, for disconnected and failed; may be empty
}

type wireBody struct {
	Value    string `json:"value"`
	Resource string `json:"resource"`
	Desc     string `json:"desc,omitempty"`
}

// Encode gives the JSON body.
func (b Body) Encode() []byte {
	return message.MarshalBody(wireBody{b.State.String(), b.Remote, b.Reason})
}

// Decode reads the body of a status message. The error names what is wrong.
func Decode(m *pb.Message) (Body, error) {
	var w wireBody
	if err := message.UnmarshalBody(m, &w); err != nil {
		return Body{}, err
	}
	state, err := Parse(w.Value)
	if err != nil {
		return Body{}, err
	}
	if w.Resource == "" {
		return Body{}, fault.New(fault.BadRequest, "status has no resource: the remote runtime is missing")
	}
	return Body{state, w.Resource, w.Desc}, nil
}

// NewMessage is what a stub posts for a change: `create` for the first state,
// `update` for the others, from the stub to its status address.
func NewMessage(stubURL, id string, b Body) *pb.Message {
	typ := message.Update
	if b.State == Created {
		typ = message.Create
	}
	return &pb.Message{Id: id, Type: typ, From: stubURL, To: address.Status(stubURL), Body: b.Encode()}
}
