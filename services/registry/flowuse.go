package registry

import (
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
)

// flowTo tells whether messages to an address may travel in a flow: where one
// runtime alone has it, and knows flows. While its runtime is being looked up that
// is not known.
func (k *knowledge) flowTo(u address.URL, d Decision) pb.FlowUse {
	switch {
	case d.Next == "" || hasObservers(u):
	case d.Runtime != "" && k.announced(d.Runtime):
		return pb.FlowUse_FLOW_USE_ANNOUNCED
	case d.Runtime == "" && (d.Do.lookUp != "" || k.cache.last(entityOf(u)).unknown):
		return pb.FlowUse_FLOW_USE_UNKNOWN
	}
	return pb.FlowUse_FLOW_USE_UNSPECIFIED
}

// announced tells whether a runtime knows flows: a registration of its own said
// so, or its end of a connection.
func (k *knowledge) announced(runtime string) bool {
	if c := k.table.byRemote[runtime]; c != nil && c.Flow {
		return true
	}
	_, ok := k.cache.flows[runtime]
	return ok
}

// hasObservers tells whether an address is one that several may subscribe: the
// changes, the children and the registration of a data object or a hyperty.
func hasObservers(u address.URL) bool {
	if u.Runtime != "" {
		return false
	}
	switch below := strings.TrimPrefix(u.Text, entityOf(u)); below {
	case address.ChangesSuffix, address.RegistrationSuffix:
		return true
	default:
		return strings.HasPrefix(below, address.ChildrenSuffix)
	}
}
