package registry

import (
	"context"
	"encoding/json"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// lookup is a question to a domain registry that is under way: one an address,
// however many want to know.
type lookup struct {
	done chan struct{}
	send bool // a message waits for nothing, but wants the connection that may follow
	p2p  bool // one of them asked for it
}

// lookUpLocked asks the registry of an address's domain, unless that is under way.
// It gives nil when too many are.
func (r *Registry) lookUpLocked(entity string, send, p2p bool) *lookup {
	if l := r.lookups[entity]; l != nil {
		l.send, l.p2p = l.send || send, l.p2p || p2p
		return l
	}
	if len(r.lookups) >= r.limits.Lookups {
		r.metrics.lookups.WithLabelValues(lookupTooMany).Inc()
		return nil
	}
	l := &lookup{done: make(chan struct{}), send: send, p2p: p2p}
	r.lookups[entity] = l
	if !r.lanes.spawn(func(ctx context.Context) { r.lookUp(ctx, entity, l) }) {
		delete(r.lookups, entity)
		return nil
	}
	return l
}

// lookUp asks, keeps the answer, and goes on with what waited for it.
func (r *Registry) lookUp(ctx context.Context, entity string, l *lookup) {
	began := time.Now()
	p, outcome := r.ask(ctx, entity)
	r.metrics.lookedUp(outcome, time.Since(began))
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lookups, entity)
	close(l.done)
	now := r.cfg.Now()
	knew := r.known.announced(p.runtime)
	r.known.cache.put(entity, p, now)
	listings := &r.known.table.listings
	if remote := listings.of(entity).url(); remote != p.runtime && !p.unknown && listings.isAssociated(entity) {
		listings.remove(remote, entity) // the domain's registry knows better than an association from before
	}
	if l.send {
		r.decideLocked(query{to: entity, p2p: l.p2p, at: now})
	}
	r.stalePeersLocked([]string{entity})
	r.rerouteLocked([]string{entity})
	if p.runtime != "" && knew != r.known.announced(p.runtime) {
		r.rerouteLocked([]string{p.runtime})
	}
}

// ask reads one address at the registry of its domain (section 6).
func (r *Registry) ask(ctx context.Context, entity string) (place, string) {
	u, err := address.Parse(entity)
	if err != nil {
		return place{}, lookupMalformed
	}
	ctx, cancel := context.WithTimeout(ctx, r.limits.LookupWait)
	defer cancel()
	resp, err := r.bus.Request(ctx, &pb.Message{
		Type: message.Read, From: address.Registry(r.rules.own), To: address.DomainRegistry(u.Domain),
		Body: message.MarshalBody(map[string]string{"resource": entity}),
	})
	if err == nil {
		_, err = message.Result(resp)
	}
	switch code := fault.CodeOf(err); {
	case code == fault.NotFound:
		return place{}, lookupMissing
	case code == fault.Timeout && resp != nil:
		return place{}, lookupDisconnected
	case code == fault.Timeout, code == fault.TooMany, code == fault.Unavailable:
		return place{unknown: true}, lookupNoAnswer
	case err != nil:
		return place{}, lookupRefused
	}
	p, err := parsePlace(resp)
	if err != nil {
		r.log.Debug("answer of a domain registry cannot be used", "domain", u.Domain, "error", err)
		return place{}, lookupMalformed
	}
	return p, lookupFound
}

// parsePlace reads where an address is. A handler that is no stub of the same
// domain is left out.
func parsePlace(resp *pb.Message) (place, error) {
	var body struct {
		Value struct {
			Runtime string          `json:"runtime"`
			Handler json.RawMessage `json:"p2pHandler"`
			Flow    json.RawMessage `json:"flow"`
		} `json:"value"`
	}
	if err := message.UnmarshalBody(resp, &body); err != nil {
		return place{}, err
	}
	runtime, err := address.ParseRuntime(body.Value.Runtime)
	if err != nil {
		return place{}, err
	}
	p := place{runtime: runtime.Text}
	var flows []string
	p.flow = json.Unmarshal(body.Value.Flow, &flows) == nil && message.Announces(flows)
	var stub string
	if json.Unmarshal(body.Value.Handler, &stub) == nil {
		if h, err := address.Parse(stub); err == nil && h.Kind == address.P2PStub && h.Domain == runtime.Domain {
			p.handler = stub
		}
	}
	return p, nil
}

// request posts a request, and gives the response when its code is below 400;
// any other one is the error.
func (r *Registry) request(ctx context.Context, within time.Duration, m *pb.Message) (*pb.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	resp, err := r.bus.Request(ctx, m)
	if err != nil {
		return nil, err
	}
	if _, err := message.Result(resp); err != nil {
		return nil, err
	}
	return resp, nil
}
