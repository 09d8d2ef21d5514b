package registry

import (
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// sourceQuery asks whether a message may carry a `from` (section 10, rule 1).
type sourceQuery struct {
	from   string
	remote string // the runtime at the other end of a data channel
	node   bool   // it came from a Message Node
	at     time.Time
}

// verdict is the answer: nil is yes. With lookUp set the domain registry of that
// address must be asked first; refused is the answer without it.
type verdict struct {
	refused error
	lookUp  string
}

// sourceOf decides whether `from` belongs to whom the message came from.
func (k *knowledge) sourceOf(q sourceQuery) verdict {
	u, err := address.Parse(q.from)
	if err != nil {
		return verdict{refused: err}
	}
	own := k.isOwn(u)
	switch {
	case q.remote != "":
		return k.sourceOfPeer(u, q, own)
	case q.node && own:
		return refusedSource("%s is of this runtime; it cannot come from a Message Node", q.from)
	case q.node || own:
		return verdict{}
	default:
		return refusedSource("%s is not of this runtime: register the address before you send from it", q.from)
	}
}

func (k *knowledge) sourceOfPeer(u address.URL, q sourceQuery, own bool) verdict {
	if address.Within(q.from, q.remote) {
		return verdict{}
	}
	if c := k.table.get(q.remote); u.Kind == address.ConnectionData && c.hasObject(q.from) {
		return verdict{} // no domain registry has it
	}
	no := refusedSource("%s is not known to be of %s", q.from, q.remote)
	if own || u.Runtime != "" || !isLookedUp(u) || u.Domain != domainOf(q.remote) {
		return no // a runtime registers in its own domain: a peer cannot have us ask others
	}
	if owner := k.table.owner(u); owner != nil {
		if owner.remote == q.remote {
			return verdict{}
		}
		return no
	}
	if p, ok := k.cache.getOnPurpose(entityOf(u), q.at); ok && !p.unknown { // it may have been registered to send
		if p.runtime == q.remote {
			return verdict{}
		}
		return no
	}
	no.lookUp = entityOf(u)
	return no
}

func domainOf(runtime string) string {
	u, _ := address.Parse(runtime) // what is no address has no domain
	return u.Domain
}

// isOwn tells whether an address is of this runtime: below its URL, or registered
// here, or below what is.
func (k *knowledge) isOwn(u address.URL) bool {
	if address.Within(u.Text, k.own) {
		return true
	}
	for a := range ancestry(u) {
		if k.registrations[a] != nil {
			return true
		}
	}
	return false
}

func refusedSource(format string, args ...any) verdict {
	return verdict{refused: fault.New(fault.Forbidden, format, args...)}
}
