package msgnode

import (
	"slices"

	"github.com/peerbus/peerbus/internal/fault"
)

// decision says where a message goes, and why.
type decision struct {
	service service     // one of the node's own; nil for a relayed message
	here    []string    // runtimes whose session is at a socket here, or is lost
	there   []elsewhere // those at other replicas
	err     error       // the refusal, when it goes nowhere
}

// elsewhere is another replica with the runtimes whose sessions are there.
type elsewhere struct {
	replica  string
	runtimes []string
}

// decide finds the way to those who hold an address (wire contract, section 3).
// replica is this one's own name; what comes for a runtime that waits, because
// there is something for it in a mailbox here, goes behind that.
func decide(to string, holders []Session, replica string, waits func(runtime string) bool) decision {
	var d decision
	if len(holders) == 0 {
		d.err = errNobody(to)
	}
	for _, s := range holders {
		at := s.replica()
		if at == "" || at == replica || waits(s.Runtime) {
			d.here = append(d.here, s.Runtime)
			continue
		}
		i := slices.IndexFunc(d.there, func(e elsewhere) bool { return e.replica == at })
		if i < 0 {
			i = len(d.there)
			d.there = append(d.there, elsewhere{replica: at})
		}
		d.there[i].runtimes = append(d.there[i].runtimes, s.Runtime)
	}
	return d
}

func errNobody(to string) error {
	return fault.New(fault.NotFound, "nobody has the address %s", to)
}

func errAway(to string) error {
	return fault.New(fault.Unavailable, "the session of %s is not connected now", to)
}

func errFull(to string) error {
	return fault.New(fault.TooMany, "the session of %s does not read fast enough", to)
}
