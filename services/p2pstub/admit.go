package p2pstub

import (
	"time"

	"github.com/peerbus/peerbus/protocol/status"
)

// verdict is what becomes of an invitation, or of a requester to be deployed.
type verdict int

const (
	accepted  verdict = iota // a new peer
	repeated                 // the one that is there is meant: answer again
	refused                  // 409
	replaces                 // a new peer; the one that is there gives way first
	overrides                // a new peer; then the own requester gives way (glare)
)

func (v verdict) String() string {
	return [...]string{"accepted", "repeated", "refused", "replaces", "overrides"}[v]
}

// connectsAnew is why a connection ends whose other side has set up another one.
const connectsAnew = "the other side connects anew"

// standing is the peer that there is with a remote runtime; the zero value is
// none.
type standing struct {
	role    role
	state   status.State
	source  string    // the other side's stub, where it has invited
	object  string    // the other side's object, likewise
	atStub  bool      // it says so in that: its end comes from the object
	created time.Time // when it made that
	stub    string    // the own stub's address
}

// admit decides on an invitation from a remote runtime (wire contract, section 7).
// The runtime whose URL sorts first keeps its requester. An invitation whose
// object is older than the one of the connection that is there was overtaken by
// it, so that it is no restart.
func admit(own, remote string, now standing, source, object string, created time.Time) (verdict, string) {
	switch {
	case now.role == 0:
		return accepted, ""
	case now.role == handler && now.source == source && now.object == object:
		return repeated, ""
	case !created.IsZero() && created.Before(now.created):
		return refused, "the invitation is older than the connection that is there"
	case now.role == requester && settingUp(now.state):
		if own < remote {
			return refused, "this runtime's own invitation goes first (glare)"
		}
		return overrides, "the other side's invitation goes first (glare)"
	default:
		return replaces, connectsAnew
	}
}

// admitRequester decides on a requester for a remote runtime.
func admitRequester(now standing, stub string) (verdict, string) {
	switch {
	case now.role == 0:
		return accepted, ""
	case now.stub == stub:
		return repeated, ""
	case now.role == handler && settingUp(now.state):
		return refused, "the other side sets up a connection already"
	case now.state == status.Live:
		return refused, "there is a live connection"
	default:
		return replaces, "another requester takes its place"
	}
}

func settingUp(s status.State) bool { return s < status.Live }
