package msgnode

import (
	"slices"

	"github.com/peerbus/peerbus/internal/fault"
)

// decision says where a message goes, and why.
type decision struct {
	service  service  // one of the node's own; nil for a relayed message
	sockets  []string // of this replica
	replicas []string // others, that have sockets of holders
	lost     int      // holders whose session is lost
	err      error    // the refusal, when it goes nowhere
}

// decide finds the way to those who hold an address (wire contract, section 3).
// replica is this one's own name.
func decide(to string, holders []Session, replica string) decision {
	var d decision
	for _, s := range holders {
		switch at := s.replica(); {
		case at == "":
			d.lost++
		case at == replica:
			d.sockets = append(d.sockets, s.Socket)
		case !slices.Contains(d.replicas, at):
			d.replicas = append(d.replicas, at)
		}
	}
	switch {
	case len(holders) == 0:
		d.err = fault.New(fault.NotFound, "nobody has the address %s", to)
	case d.lost == len(holders):
		d.err = errAway(to)
	}
	return d
}

func errAway(to string) error {
	return fault.New(fault.Unavailable, "the session of %s is not connected now", to)
}

func errFull(to string) error {
	return fault.New(fault.TooMany, "the session of %s does not read fast enough", to)
}
