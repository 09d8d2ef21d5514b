package registry

import (
	"fmt"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// ruleOf is the rule of the wire contract's section 10 that gives a reason. 0: what
// stands before the rules, since it needs no route.
var ruleOf = map[pb.RouteReason]uint32{
	pb.RouteReason_ROUTE_REASON_SOURCE_REFUSED:           1,
	pb.RouteReason_ROUTE_REASON_BACKEND_SERVICE:          2,
	pb.RouteReason_ROUTE_REASON_SIGNALLING:               3,
	pb.RouteReason_ROUTE_REASON_CONNECTION_LISTS_ADDRESS: 4,
	pb.RouteReason_ROUTE_REASON_CONNECTION_TO_RUNTIME:    5,
	pb.RouteReason_ROUTE_REASON_SETUP_UNDER_WAY:          6,
	pb.RouteReason_ROUTE_REASON_REESTABLISHING:           7,
	pb.RouteReason_ROUTE_REASON_SETUP_STARTED:            8,
	pb.RouteReason_ROUTE_REASON_MESSAGE_NODE:             9,
}

// explain tells for each rule in its order why it does not decide, up to the one
// that does. It reads what resolve reads.
func (k *knowledge) explain(q query, from string) []*pb.ResolveStep {
	d := k.resolve(&q)
	last, isRule := ruleOf[d.Reason]
	u, err := address.Parse(q.to)
	if err != nil || d.Reason == pb.RouteReason_ROUTE_REASON_LOCAL && k.isLocal(u) || q.to == address.Session {
		return []*pb.ResolveStep{{Decided: true, Why: d.Description}}
	}
	e := explanation{k: k, q: q, u: u}
	e.runtime, e.handler, e.asked = k.runtimeOf(u, q)
	e.c = k.table.get(e.runtime)
	if !isRule { // no such domain, or the runtime turns out to be this one
		last = 9
		if e.runtime == k.own {
			last = 5
		}
	}
	rules := []func() string{nil, func() string { return sourceText(from) }, e.backend, e.signalling, e.lists, e.toRuntime, e.underWay, e.lost, e.wanted}
	var steps []*pb.ResolveStep
	for rule := uint32(1); rule < last; rule++ {
		steps = append(steps, &pb.ResolveStep{Rule: rule, Why: rules[rule]()})
	}
	return append(steps, &pb.ResolveStep{Rule: last, Decided: true, Why: e.decided(d)})
}

func sourceText(from string) string {
	if from == "" {
		return "no source is named, and this runtime's own is not refused"
	}
	return from + " may be the source"
}

// explanation has what the rules look at.
type explanation struct {
	k                *knowledge
	q                query
	u                address.URL
	runtime, handler string
	asked            bool       // the domain registry has said what it knows
	c                connection // the entry of runtime; the zero one if there is none
}

func (e *explanation) backend() string { return "it is no service of a domain" }

func (e *explanation) signalling() string {
	return "it is neither a stub of another runtime nor a Connection object"
}

func (e *explanation) lists() string {
	owner := e.k.table.owner(e.u).url()
	if owner == "" {
		return "no connection lists it"
	}
	c := e.k.table.get(owner)
	return fmt.Sprintf("the connection with %s lists it, but is %s", owner, stateText(c))
}

func (e *explanation) toRuntime() string {
	switch {
	case e.runtime == "" && e.asked:
		return "no domain registry knows its runtime"
	case e.runtime == "" && isLookedUp(e.u):
		return "its runtime is not known; the domain registry is asked"
	case e.runtime == "":
		return "its runtime is not known, and no domain registry has addresses of its kind"
	case !e.c.exists():
		return "there is no connection with its runtime, " + e.runtime
	default:
		return fmt.Sprintf("the connection with its runtime, %s, is %s", e.runtime, stateText(e.c))
	}
}

func (e *explanation) underWay() string {
	if e.c.underWay() {
		return "the set-up that is under way is to bring a lost connection back"
	}
	return "no set-up is under way"
}

func (e *explanation) lost() string { return "no connection is to be re-established" }

// wanted tells why no set-up is started.
func (e *explanation) wanted() string {
	switch {
	case e.runtime == "":
		return "no set-up is started without a runtime"
	case e.k.wants == Never:
		return "the policy is to start none (--p2p never)"
	case !e.k.wanted(e.u, e.q) && e.k.wants == OnRequest:
		return "the message does not ask for a direct connection (--p2p on-request)"
	case !e.k.wanted(e.u, e.q):
		return "messages between registries, sync managers and buses start none"
	case e.handler == "" && e.c.Handler == "":
		return "the P2P handler of " + e.runtime + " is not known"
	case e.q.at.Before(e.c.NextAttempt):
		return fmt.Sprintf("the next attempt is in %s, after: %s", e.c.NextAttempt.Sub(e.q.at).Round(time.Millisecond), e.c.Reason)
	default:
		return "none can be started now"
	}
}

// decided tells why the last rule applies.
func (e *explanation) decided(d *Decision) string {
	switch d.Reason {
	case pb.RouteReason_ROUTE_REASON_BACKEND_SERVICE:
		return "it is a service of the domain " + d.Domain
	case pb.RouteReason_ROUTE_REASON_SIGNALLING:
		return "it is signalling, which always takes the Message Node"
	case pb.RouteReason_ROUTE_REASON_CONNECTION_LISTS_ADDRESS:
		return "the live connection with " + d.Runtime + " lists it"
	case pb.RouteReason_ROUTE_REASON_CONNECTION_TO_RUNTIME:
		return "the connection with its runtime, " + d.Runtime + ", is live"
	case pb.RouteReason_ROUTE_REASON_SETUP_UNDER_WAY:
		return "a set-up with " + d.Runtime + " is under way; until it is live the Message Node is used"
	case pb.RouteReason_ROUTE_REASON_REESTABLISHING:
		return "the connection with " + d.Runtime + " is " + stateText(e.c) + "; until it is live again the Message Node is used"
	case pb.RouteReason_ROUTE_REASON_SETUP_STARTED:
		return "a direct connection with " + d.Runtime + " is wanted: its set-up is started, and the Message Node is used meanwhile"
	case pb.RouteReason_ROUTE_REASON_MESSAGE_NODE:
		return "there is nothing better than the Message Node of " + d.Domain
	default:
		return d.Description
	}
}

// stateText is what a person is told of an entry.
func stateText(c connection) string {
	if c.State == status.Live && !c.usable() {
		return "live, but not registered yet"
	}
	return c.State.String()
}
