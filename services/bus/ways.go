package bus

import (
	"strings"
	"sync/atomic"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
)

// remoteRuntime is another runtime that there are flows with.
type remoteRuntime struct {
	url       string
	ways      atomic.Pointer[ways]
	announced atomic.Bool            // it has sent a flow or an ack
	unsaid    atomic.Pointer[inflow] // one of in that has an ack to send

	// guarded by flows.mu
	out   *outflow
	buses map[string]*remoteBus // by Flow.replica
	in    map[uint64]*inflow
	used  time.Time
}

// remoteBus is the bus of a remote runtime, or one of its replicas.
type remoteBus struct {
	epoch uint64    // what is older is over
	heard time.Time // when something of that epoch came last
}

// ways are the listeners that lead to a runtime; empty where there is none.
type ways struct {
	direct, relay string
	doubt         bool
}

// waysOf reads a route. Without a p2p connection its next is the relay.
func waysOf(r *pb.Route) *ways {
	if r.GetRelay() == "" {
		return &ways{relay: r.GetNext()}
	}
	return &ways{direct: r.GetNext(), relay: r.GetRelay(), doubt: r.GetDoubt()}
}

// remoteOf gives the entry of a runtime, and makes it; nil when there are too
// many, or it is no other runtime's. A new one asks the registry for the ways.
func (f *flows) remoteOf(url string) *remoteRuntime {
	rm := f.remotes[url]
	if rm == nil {
		if _, err := address.ParseRuntime(url); err != nil || url == f.bus.runtimeURL {
			return nil
		}
		if len(f.remotes) >= f.bus.limits.Flows || f.over {
			return nil
		}
		url = strings.Clone(url) // it shares its text with a whole message
		rm = &remoteRuntime{url: url, buses: map[string]*remoteBus{}, in: map[uint64]*inflow{}}
		f.remotes[url] = rm
		f.ask(rm)
	}
	rm.used = time.Now()
	return rm
}

// ask asks the registry how a runtime is reached. The route of its bus is no one's
// wish for a connection, and changes of it are pushed.
func (f *flows) ask(rm *remoteRuntime) {
	f.bus.ask.route(&pb.Message{To: address.Bus(rm.url), From: f.bus.own})
}

// reask asks again for all, on a new stream to the registry.
func (f *flows) reask() {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, rm := range f.remotes {
		f.ask(rm)
	}
}

// learn takes what a route says about the ways to its runtime, and about flows
// with it. The table is locked.
func (f *flows) learn(r *pb.Route) {
	if r.GetNext() == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if before := f.provisional[r.GetTo()]; before != nil {
		f.decide(before, r)
	}
	switch r.GetReason() {
	case pb.RouteReason_ROUTE_REASON_SIGNALLING, pb.RouteReason_ROUTE_REASON_BACKEND_SERVICE:
		return
	}
	rm := f.remotes[r.GetRuntimeUrl()]
	if rm == nil {
		return
	}
	w := waysOf(r)
	if old := rm.ways.Load(); old != nil && *old == *w {
		return
	}
	rm.ways.Store(w)
	f.wakeAll(rm)
}

// learnPushed is learn for a pushed route, which need not be in the cache.
func (f *flows) learnPushed(r *pb.Route) {
	t := f.bus.table
	t.mu.Lock()
	defer t.mu.Unlock()
	f.learn(r)
	if r.GetNext() == "" && r.GetCode() == 0 { // it is to be asked for again
		f.mu.RLock()
		defer f.mu.RUnlock()
		if rm := f.remotes[strings.TrimSuffix(r.GetTo(), busSuffix)]; rm != nil && strings.HasSuffix(r.GetTo(), busSuffix) {
			f.ask(rm)
		}
	}
}

// decide ends the doubt about a provisional flow, once the look-up has ended.
func (f *flows) decide(out *outflow, r *pb.Route) {
	out.hint.Store(waysOf(r))
	switch r.GetFlow() {
	case pb.FlowUse_FLOW_USE_UNKNOWN:
		return
	case pb.FlowUse_FLOW_USE_ANNOUNCED:
		if rm := f.remoteOf(r.GetRuntimeUrl()); rm != nil {
			rm.ways.CompareAndSwap(nil, waysOf(r))
			out.remote.Store(rm)
			out.known.Store(true)
		}
		out.verdict.Store(announced)
	default:
		out.verdict.Store(plain)
	}
	f.wake(out)
}

// wakeAll has all flows to a runtime look again at their ways.
func (f *flows) wakeAll(rm *remoteRuntime) {
	if rm.out != nil {
		f.wake(rm.out)
	}
	for _, out := range f.provisional {
		if out.remote.Load() == rm {
			f.wake(out)
		}
	}
}
