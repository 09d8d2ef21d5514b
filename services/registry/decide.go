package registry

import (
	"context"

	"github.com/google/uuid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// decideLocked resolves an address, and starts what the rule wants done. The
// answer does not wait for any of it.
func (r *Registry) decideLocked(q query) Decision {
	d := *r.known.resolve(&q)
	r.wantNodeLocked(d.RelayDomain)
	if d.Do.associate != "" {
		if r.known.table.add(d.Runtime, d.Do.associate, associated, r.limits.Addresses) {
			r.tellWatchersLocked(d.Connection, d.Runtime)
		}
	}
	if d.Reason == pb.RouteReason_ROUTE_REASON_CONNECTION_LISTS_ADDRESS {
		r.known.cache.hint(entity(q.to), d.Runtime, d.Flow == pb.FlowUse_FLOW_USE_ANNOUNCED, q.at)
	}
	if d.Do.lookUp != "" {
		r.lookUpLocked(d.Do.lookUp, true, q.p2p)
	}
	if d.Do.setUp != "" {
		// A full table refuses it; then the Message Node goes on alone.
		if r.setUpLocked(d.Do.setUp, d.Do.handler, q.to) == nil {
			d.Connection = r.known.table.get(d.Do.setUp).ID
		}
	}
	r.askedLocked(&d, q)
	return d
}

// askedLocked corrects a decision that counts on a look-up which was not started:
// too many are under way.
func (r *Registry) askedLocked(d *Decision, q query) {
	if d.Flow == pb.FlowUse_FLOW_USE_UNKNOWN && d.Do.lookUp != "" && r.lookups[d.Do.lookUp] == nil &&
		!r.known.cache.last(entity(q.to)).unknown {
		d.Flow = pb.FlowUse_FLOW_USE_UNSPECIFIED
	}
}

// setUpLocked wants a connection with the runtime of an address, through a
// requester of its own.
func (r *Registry) setUpLocked(remote, handlerURL, addr string) error {
	at, err := r.placeLocked(remote)
	if err != nil {
		return err
	}
	e := event{
		kind: wanted, remote: remote, role: requester, handler: handlerURL, replica: at.member.ID,
		stub: address.Requester(r.rules.own, uuid.NewString()),
	}
	if u, err := address.Parse(addr); err == nil && isLookedUp(u) {
		e.entity = entity(addr)
	}
	return r.applyLocked(e)
}

// resolveNow answers one question, once the Message Node stub that it needs is
// deployed. steps are the rules up to the one that decides.
func (r *Registry) resolveNow(ctx context.Context, q query, from string) (_ Decision, steps []*pb.ResolveStep) {
	r.mu.Lock()
	r.log.Debug("resolving", "to", q.to)
	steps = r.known.explain(q, from)
	d := r.decideLocked(q)
	r.mu.Unlock()
	if d.Domain != "" {
		if err := r.haveNode(ctx, d.Domain); err != nil {
			d = unavailable(d, err)
		}
	}
	r.resolved(q, d)
	return d, steps
}

func (r *Registry) resolved(q query, d Decision) {
	r.metrics.resolved(d.Reason, r.cfg.Now().Sub(q.at))
	r.log.Debug("resolved", "to", q.to, "next", d.Next, "reason", reasonName(d.Reason))
}

// unavailable is a decision whose Message Node stub cannot be had.
func unavailable(d Decision, err error) Decision {
	f := fault.From(err)
	d.Next, d.Code, d.Description = "", f.Code, f.Description
	d.Flow = pb.FlowUse_FLOW_USE_UNSPECIFIED
	return d
}

// verify answers whether a message may carry a `from`; it waits for a look-up
// when that alone can tell.
func (r *Registry) verify(ctx context.Context, q sourceQuery) error {
	q.at = r.cfg.Now()
	r.mu.Lock()
	v := r.known.sourceOf(q)
	if v.lookUp == "" {
		r.mu.Unlock()
		return r.countRefusal(q, v.refused)
	}
	l := r.lookUpLocked(v.lookUp, false, false)
	r.mu.Unlock()
	if l == nil {
		return fault.New(fault.Unavailable, "too many look-ups are under way to verify %s", q.from)
	}
	ctx, cancel := context.WithTimeout(ctx, r.limits.LookupWait)
	defer cancel()
	select {
	case <-l.done:
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "%s cannot be verified now", q.from)
	}
	r.mu.Lock()
	q.at = r.cfg.Now()
	v = r.known.sourceOf(q)
	r.mu.Unlock()
	if v.lookUp != "" { // the domain registry did not say
		return fault.New(fault.Unavailable, "%s cannot be verified now", q.from)
	}
	return r.countRefusal(q, v.refused)
}

func (r *Registry) countRefusal(q sourceQuery, err error) error {
	if err != nil {
		from := fromLocal
		switch {
		case q.remote != "":
			from = fromPeer
		case q.node:
			from = fromNode
		}
		r.metrics.refusals.WithLabelValues(from).Inc()
	}
	return err
}

// find resolves an address to its runtime and handler stub for Connect, waiting
// for the domain registry when it must be asked: for the address, or, of a runtime, for one
// in it.
func (r *Registry) find(ctx context.Context, addr string) (runtime, handlerURL string, err error) {
	u, err := address.Parse(addr)
	if err != nil {
		return "", "", err
	}
	if address.Within(addr, r.rules.own) {
		return "", "", fault.New(fault.BadRequest, "%s is in this runtime", addr).In("address")
	}
	for asked := false; ; asked = true {
		r.mu.Lock()
		runtime, handlerURL, _ := r.known.runtimeOf(u, query{at: r.cfg.Now()})
		e := ""
		if isLookedUp(u) {
			e = entity(addr)
		}
		if handlerURL == "" && runtime != "" {
			handlerURL = r.known.handlerIn(runtime)
			if e == "" {
				e = r.known.oneIn(runtime)
			}
		}
		var l *lookup
		p, fresh := r.known.cache.getOnPurpose(e, r.cfg.Now())
		if (runtime == "" || handlerURL == "") && e != "" && !fresh && !asked {
			l = r.lookUpLocked(e, false, true)
		}
		r.mu.Unlock()
		nowhere := runtime == "" || handlerURL == "" && !r.connected(runtime)
		switch {
		case l != nil:
			select {
			case <-l.done:
				continue
			case <-ctx.Done():
				return "", "", fault.From(ctx.Err())
			}
		case runtime == r.rules.own:
			return "", "", fault.New(fault.BadRequest, "%s is in this runtime", addr).In("address")
		case nowhere && p.unknown:
			return "", "", fault.New(fault.Unavailable, "the domain registry of %s cannot be asked now", addr)
		case runtime == "":
			return "", "", fault.New(fault.NotFound, "no domain registry knows the runtime of %s", addr).In("address")
		case nowhere:
			return "", "", fault.New(fault.NotFound,
				"the P2P handler of %s is not known: name a hyperty or data object that is registered in it", runtime).In("address")
		}
		return runtime, handlerURL, nil
	}
}

func (r *Registry) connected(runtime string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.known.table.get(runtime)
	return c.usable() || c.underWay()
}
