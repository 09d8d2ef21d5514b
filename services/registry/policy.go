package registry

import "github.com/peerbus/peerbus/internal/fault"

// Wanted says when messages to a remote runtime start a P2P connection.
type Wanted int

const (
	// Always: any message does.
	Always Wanted = iota
	// OnRequest: only a message that asks for it does (`body.p2p`, or
	// `body.p2pHandler`).
	OnRequest
	// Never: none does. Connections that others set up are used all the same.
	Never
)

func (w Wanted) String() string { return [...]string{"always", "on-request", "never"}[w] }

// ParseWanted reads the name of a policy.
func ParseWanted(name string) (Wanted, error) {
	for _, w := range []Wanted{Always, OnRequest, Never} {
		if name == w.String() {
			return w, nil
		}
	}
	return 0, fault.New(fault.BadRequest, "p2p policy %q is none of always, on-request, never", name)
}

// Policy is what this runtime decides for itself.
type Policy struct {
	// P2P is when a message starts a connection.
	P2P Wanted
	// HideChanges refuses remote registries that want to know what runs here
	// (wire contract, section 9, step 5).
	HideChanges bool
}
