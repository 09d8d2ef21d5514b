package bus

import (
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// destination is what the registry says of all addresses that have the same way: those
// of a runtime, or those behind a Message Node of which no more is known.
type destination struct {
	told  *pb.Route // without `to`; is not changed
	next  *hop
	flows bool // mayFlow
	uses  int  // routes that have it
}

// hop is the listener to which destinations lead.
type hop struct {
	place *place // nil while the address has none
	uses  int    // destinations that have it
}

// takers are who take a message that goes there.
func (h *hop) takers() []*inbox {
	if h.place == nil {
		return nil
	}
	return h.place.takers
}

// destinations are those of all routes, by number, so that a route need not keep more.
type destinations struct {
	byKey map[destinationKey]uint32
	all   []*destination
	free  []uint32
	hops  map[string]*hop          // by address
	find  func(addr string) *place // that of an address; nil when it has none
}

// destinationKey is all that a bus wants to know of a route.
type destinationKey struct {
	next, relay, runtime string
	reason               pb.RouteReason
	flow                 pb.FlowUse
	doubt                bool
}

func destinationKeyOf(r *pb.Route) destinationKey {
	return destinationKey{
		next: r.GetNext(), relay: r.GetRelay(), runtime: r.GetRuntimeUrl(),
		reason: r.GetReason(), flow: r.GetFlow(), doubt: r.GetDoubt(),
	}
}

func newDestinations(find func(string) *place) destinations {
	return destinations{byKey: map[destinationKey]uint32{}, hops: map[string]*hop{}, find: find}
}

// placed notes the place of an address.
func (d *destinations) placed(address string, pl *place) {
	if h := d.hops[address]; h != nil {
		h.place = pl
	}
}

// hold gives the number of a route's destination, to be released once.
func (d *destinations) hold(r *pb.Route) uint32 {
	key := destinationKeyOf(r)
	number, ok := d.byKey[key]
	if !ok {
		number = d.enter(key)
	}
	d.all[number].uses++
	return number
}

func (d *destinations) enter(key destinationKey) uint32 {
	key.next, key.relay, key.runtime = strings.Clone(key.next), strings.Clone(key.relay), strings.Clone(key.runtime)
	told := &pb.Route{
		Next: key.next, Relay: key.relay, RuntimeUrl: key.runtime, Reason: key.reason, Flow: key.flow, Doubt: key.doubt,
	}
	one := &destination{told: told, next: d.hop(key.next), flows: mayFlow(told)}
	number := uint32(len(d.all)) // there are no more of them than routes
	if n := len(d.free); n > 0 {
		number, d.free = d.free[n-1], d.free[:n-1]
		d.all[number] = one
	} else {
		d.all = append(d.all, one)
	}
	d.byKey[key] = number
	return number
}

func (d *destinations) hop(address string) *hop {
	h := d.hops[address]
	if h == nil {
		h = &hop{place: d.find(address)}
		d.hops[address] = h
	}
	h.uses++
	return h
}

// release lets a destination go with the last of its routes.
func (d *destinations) release(number uint32) {
	one := d.all[number]
	if one.uses--; one.uses > 0 {
		return
	}
	delete(d.byKey, destinationKeyOf(one.told))
	if one.next.uses--; one.next.uses == 0 {
		delete(d.hops, one.told.Next)
	}
	d.all[number] = nil
	d.free = append(d.free, number)
}
