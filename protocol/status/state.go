package status

import (
	"slices"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// State of a P2P connection. The numbers are those of pb.ConnectionState; the
// zero value is no state yet.
type State int

// The states, in the order of a connection's life.
const (
	None         State = iota
	Created            // a stub knows of it; nothing has been agreed
	InProgress         // both sides are setting it up
	Live               // the data channel is open
	Disconnected       // it was live; it can come back
	Failed             // it never became live, and will not
)

var names = [...]string{"none", "created", "in-progress", "live", "disconnected", "failed"}

// next says which states may follow (wire contract, section 8). Where nothing
// follows the connection can only go away.
var next = [...][]State{
	None:         {Created},
	Created:      {InProgress, Failed},
	InProgress:   {Live, Failed},
	Live:         {Disconnected},
	Disconnected: {Live},
	Failed:       nil,
}

// String is the state's name in a status message.
func (s State) String() string {
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Parse reads a state's name. It takes `create`, which older stubs write for
// created, and the names `connecting` and `connected`.
func Parse(text string) (State, error) {
	switch name := strings.ToLower(text); name {
	case "create":
		return Created, nil
	case "connecting":
		return InProgress, nil
	case "connected":
		return Live, nil
	default:
		if i := slices.Index(names[1:], name); i >= 0 {
			return State(i + 1), nil
		}
		return None, fault.New(fault.BadRequest, "unknown status %.40q", text)
	}
}

// CanFollow tells whether a connection in state before may be in state s next.
func (s State) CanFollow(before State) bool {
	return before >= 0 && int(before) < len(next) && slices.Contains(next[before], s)
}

// Proto is the state in the gRPC APIs.
func (s State) Proto() pb.ConnectionState { return pb.ConnectionState(s) }

// FromProto reads a state of the gRPC APIs; what is out of range is None.
func FromProto(s pb.ConnectionState) State {
	if s < 0 || int(s) >= len(names) {
		return None
	}
	return State(s)
}
