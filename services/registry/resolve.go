package registry

import (
	"slices"
	"strings"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// knowledge is all that resolution reads. Registry.mu guards it.
type knowledge struct {
	own           string // URL of this runtime
	domain        string // its domain
	wants         Wanted
	table         *table
	cache         *cache
	registrations map[string]*registration
	// attended are addresses of our own that the registry which leads listens to:
	// where nobody does, it is about to.
	attended []string
	// stubs are URLs of Message Node stubs by their domain, made once. There are at
	// most Limits.Domains; any one goes for another.
	stubs map[string]string
}

// query asks where a message must go.
type query struct {
	to         string
	p2p        bool // the message asks for a P2P connection
	p2pHandler string
	at         time.Time
	onPurpose  bool // somebody asks, not a message
	again      bool // the bus asks again for a route that says so, and uses it meanwhile
}

// Decision is where messages to an address go, and why (wire contract, section
// 10). Without Next there is no route, and Code and Description say what is wrong.
type Decision struct {
	Next        string
	Reason      pb.RouteReason
	Code        fault.Code
	Description string
	// Domain whose Message Node stub Next is, or would be; empty otherwise.
	Domain string
	// Runtime of the address, when it is known.
	Runtime string
	// Connection is the entry's id that the route uses, when it uses one.
	Connection string
	// Relay is the other way when Next is a p2p connection: the Message Node stub of
	// RelayDomain.
	Relay, RelayDomain string
	// Doubt is set while the connection is quiet and not given up.
	Doubt bool
	// Flow is whether messages may travel in a flow.
	Flow pb.FlowUse
	// Do is what the rule wants done beside the answer.
	Do action
}

// action is what a decision starts.
type action struct {
	lookUp    string // entity to ask the domain registry for
	setUp     string // remote runtime to connect with, or to connect with again
	handler   string // its handler stub
	associate string // entity to add to the entry of Runtime
}

// resolve decides by the rules of section 10, in their order. It reads, and
// changes nothing but what it keeps to be faster. The decision is not to be changed.
// Rule 1, the source, is sourceOf's. To copy the question, or the decision, would take
// longer than to find an address among a million.
func (k *knowledge) resolve(q *query) *Decision {
	o := k.table.listings.ofPlain(q.to)
	switch {
	case o == nil || !o.entry.usable():
		d := k.byRules(*q)
		return &d
	case !o.decides(k.cache):
		k.decidePlainly(o)
	}
	return o.decision
}

func (k *knowledge) byRules(q query) Decision {
	u, err := address.Parse(q.to)
	if err != nil {
		return noRoute(fault.BadRequest, fault.From(err).Description)
	}
	switch {
	case slices.Contains(k.attended, u.Text):
		return notAttended(u.Text)
	case k.isLocal(u):
		return Decision{Reason: pb.RouteReason_ROUTE_REASON_LOCAL, Runtime: k.own,
			Code: fault.NotFound, Description: "nobody listens to " + q.to}
	case q.to == address.Session:
		return noRoute(fault.Forbidden, q.to+" is for Message Node stubs alone")
	case u.Kind == address.Backend:
		return k.node(u, pb.RouteReason_ROUTE_REASON_BACKEND_SERVICE)
	case u.Kind == address.P2PStub, u.Kind == address.ConnectionData:
		return k.node(u, pb.RouteReason_ROUTE_REASON_SIGNALLING)
	}
	d := k.byConnection(u, q)
	d.Flow = k.flowTo(u, d)
	return d
}

// byConnection is rules 4 to 9.
func (k *knowledge) byConnection(u address.URL, q query) Decision {
	if o := k.table.owner(u); o != nil && o.entry.usable() {
		return k.over(u, o.entry, pb.RouteReason_ROUTE_REASON_CONNECTION_LISTS_ADDRESS)
	}
	runtime, handler, known := k.runtimeOf(u, q)
	if runtime == "" {
		d := k.node(u, pb.RouteReason_ROUTE_REASON_MESSAGE_NODE)
		if !known && d.Next != "" && isLookedUp(u) && k.registrations[entityOf(u)] == nil {
			d.Do.lookUp = entityOf(u)
		}
		return d
	}
	if runtime == k.own {
		return Decision{Reason: pb.RouteReason_ROUTE_REASON_LOCAL, Runtime: k.own,
			Code: fault.NotFound, Description: "the domain registry says that " + q.to + " is here, but nobody listens to it"}
	}
	d := k.byRuntime(u, q, runtime, handler)
	d.Runtime = runtime
	if d.Do.lookUp == "" && d.Next != "" && k.cache.isOld(entityOf(u), q.at) {
		d.Do.lookUp = entityOf(u) // it may have moved; until that is known it is where it was
	}
	return d
}

// byRuntime is rules 5 to 9 for an address whose runtime is known.
func (k *knowledge) byRuntime(u address.URL, q query, runtime, handler string) Decision {
	c := k.table.get(runtime)
	if c.usable() {
		d := k.over(u, &c, pb.RouteReason_ROUTE_REASON_CONNECTION_TO_RUNTIME)
		if _, cached := k.cache.get(entityOf(u), q.at); cached {
			d.Do.associate = entityOf(u)
		}
		return d
	}
	if handler == "" {
		handler = c.Handler
	}
	mayTry := k.wanted(u, q) && handler != "" && !q.at.Before(c.NextAttempt)
	d := k.node(u, pb.RouteReason_ROUTE_REASON_MESSAGE_NODE)
	switch {
	case d.Next == "":
		return d
	case c.State == status.Disconnected, c.State == status.Live:
		d.Reason = pb.RouteReason_ROUTE_REASON_REESTABLISHING
		switch {
		case c.State != status.Disconnected || c.underWay() || c.Phase == restarting:
		case mayTry:
			d.Do = action{setUp: runtime, handler: handler}
		default:
			d.Do.lookUp = k.handlerOf(u, q, handler, c)
		}
	case c.underWay():
		d.Reason = pb.RouteReason_ROUTE_REASON_SETUP_UNDER_WAY
	case mayTry:
		d.Reason = pb.RouteReason_ROUTE_REASON_SETUP_STARTED
		d.Do = action{setUp: runtime, handler: handler}
	default:
		d.Do.lookUp = k.handlerOf(u, q, handler, c)
	}
	if c.exists() && d.Reason != pb.RouteReason_ROUTE_REASON_MESSAGE_NODE {
		d.Connection = c.ID
	}
	return d
}

// handlerOf tells what to look up when a set-up is wanted and only the handler stub
// is not known: after a failure it has been forgotten.
func (k *knowledge) handlerOf(u address.URL, q query, handler string, c connection) (lookUp string) {
	if handler != "" || !k.wanted(u, q) || !isLookedUp(u) || q.at.Before(c.NextAttempt) {
		return ""
	}
	if _, fresh := k.cache.get(entityOf(u), q.at); fresh {
		return ""
	}
	return entityOf(u)
}

// runtimeOf finds the runtime of an address, and its handler stub. known is false
// when a domain registry could still be asked.
func (k *knowledge) runtimeOf(u address.URL, q query) (runtime, handler string, known bool) {
	if u.Runtime != "" {
		runtime = u.Runtime
	} else {
		get := k.cache.get
		if q.onPurpose {
			get = k.cache.getOnPurpose
		}
		_, known = get(entityOf(u), q.at)
		p := k.cache.last(entityOf(u))
		if runtime, handler = p.runtime, p.handler; runtime == "" {
			runtime = k.table.owner(u).url()
		}
	}
	if hint, err := address.Parse(q.p2pHandler); err == nil && hint.Kind == address.P2PStub && hint.Runtime != "" {
		if runtime == "" && hint.Runtime != k.own {
			runtime = hint.Runtime
		}
		if runtime == hint.Runtime && handler == "" {
			handler = q.p2pHandler
		}
	}
	if handler == "" {
		handler = k.cache.handlers[runtime]
	}
	return runtime, handler, known || runtime != ""
}

// wanted tells whether a message may start a set-up. One to a remote registry, sync
// manager or bus never does: that is how runtimes talk about connections and flows,
// and would bring back each connection that has just been closed.
func (k *knowledge) wanted(u address.URL, q query) bool {
	for _, part := range []string{address.Registry(u.Runtime), address.SyncManager(u.Runtime), address.Bus(u.Runtime)} {
		if address.Within(u.Text, part) {
			return false
		}
	}
	return k.wants == Always || (k.wants == OnRequest && (q.p2p || q.p2pHandler != ""))
}

// isLocal tells whether only a listener of this runtime can take an address. The
// changes and children of an object of ours are for its observers, who may be
// anywhere: their Message Node knows them.
func (k *knowledge) isLocal(u address.URL) bool {
	if address.Within(u.Text, k.own) {
		return true
	}
	e := entityOf(u)
	if k.registrations[e] == nil && (len(e) == len(u.Text) || k.registrations[u.Text] == nil) {
		return false
	}
	below := strings.TrimPrefix(u.Text, e)
	return below != address.ChangesSuffix && !strings.HasPrefix(below, address.ChildrenSuffix)
}

// isLookedUp tells whether a domain registry has addresses of this kind.
func isLookedUp(u address.URL) bool {
	return (u.Kind == address.Hyperty || u.Kind == address.DataObject) && len(entityOf(u)) > len(u.Scheme)+len("://")+len(u.Domain)
}

// node leads to the Message Node stub of an address's domain. A bare string has
// none: this runtime's own node may know it.
func (k *knowledge) node(u address.URL, reason pb.RouteReason) Decision {
	domain := u.Domain
	if domain == "" {
		domain = k.domain
	}
	stub := k.stub(domain)
	if stub == "" {
		return noRoute(fault.NotFound, "no such domain: "+domain)
	}
	return Decision{Next: stub, Reason: reason, Domain: domain}
}

// stub gives the Message Node stub of a domain; empty of what can be no domain. Those
// of domains are kept: nearly all addresses are of a few.
func (k *knowledge) stub(domain string) string {
	if url := k.stubs[domain]; url != "" {
		return url
	}
	if !isDomain(domain) {
		return ""
	}
	if k.stubs == nil {
		k.stubs = map[string]string{}
	}
	url := address.NodeStubURL(k.own, domain)
	domain = url[len(url)-len(domain):] // does not keep the text of the address
	makeRoom(k.stubs, domain, k.cache.limits.Domains)
	k.stubs[domain] = url
	return url
}

// isDomain keeps out what can be no name of a domain: it becomes a part of
// addresses, and is dialled.
func isDomain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`/?#@\"`, r)
	}) < 0
}

// over leads to a live connection; the Message Node is the other way.
func (k *knowledge) over(u address.URL, c *connection, reason pb.RouteReason) Decision {
	relay := k.node(u, reason)
	return Decision{
		Next: c.URL, Reason: reason, Runtime: c.Remote, Connection: c.ID,
		Relay: relay.Next, RelayDomain: relay.Domain, Doubt: c.news.doubt,
	}
}

// decidePlainly makes what all rules together decide for any plain address that a live
// connection lists. None before rule 4 is about such: it is of no kind that
// they are about, and what is registered here is not listed.
func (k *knowledge) decidePlainly(o *owner) {
	c := o.entry
	d := &Decision{
		Next: c.URL, Reason: pb.RouteReason_ROUTE_REASON_CONNECTION_LISTS_ADDRESS, Runtime: c.Remote, Connection: c.ID,
		Relay: k.stub(o.domain), Doubt: c.news.doubt,
	}
	if d.Relay != "" {
		d.RelayDomain = o.domain
	}
	if k.announced(c.Remote) {
		d.Flow = pb.FlowUse_FLOW_USE_ANNOUNCED
	}
	o.decision, o.announced = d, k.cache.announced
}

// notAttended is told of an address that a registry takes over.
func notAttended(addr string) Decision {
	return noRoute(fault.Unavailable, "the registry that leads is about to listen to "+addr)
}

func noRoute(code fault.Code, description string) Decision {
	return Decision{Reason: pb.RouteReason_ROUTE_REASON_NO_ROUTE, Code: code, Description: description}
}

// route is the decision as the API has it.
func (d Decision) route(to string) *pb.Route {
	route := &pb.Route{
		To: to, Next: d.Next, Reason: d.Reason, Code: int32(d.Code), Description: d.Description, // an HTTP code
		RuntimeUrl: d.Runtime, Relay: d.Relay, Doubt: d.Doubt, Flow: d.Flow,
	}
	if d.Reason == pb.RouteReason_ROUTE_REASON_LOCAL {
		route.RuntimeUrl = ""
	}
	return route
}

// reasonName is the reason in logs and metrics: `setup started`.
func reasonName(r pb.RouteReason) string {
	name := strings.TrimPrefix(r.String(), "ROUTE_REASON_")
	return strings.ToLower(strings.ReplaceAll(name, "_", " "))
}
