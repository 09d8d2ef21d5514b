package bus

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// flows are those between this bus and the buses of other runtimes: out by the
// runtime, or, while that is being looked up, by the address; in by the runtime
// and the number that its bus gave.
//
//	post ─► route ─► outflow ─► inbox of the p2p connection ─┐
//	                    │  └──► inbox of the node stub ──────┤ either, or both
//	                    ▲ acks                                ▼
//	                    └──────────── inflow of the other bus: order, once, then the
//	                                  rest of the way as any message
//
// Locks are taken in this order: table.mu, flows.mu, that of an outflow or inflow,
// that of a stream.
type flows struct {
	bus   *Bus
	none  bool // none begins here: messages leave as plain ones
	began time.Time
	epoch uint64        // that in nanoseconds
	held  atomic.Int64  // bytes that came in and are not dealt with
	draw  func() uint64 // numbers of flows
	seen  arrived

	unsure atomic.Int64 // provisional flows

	mu          sync.RWMutex
	remotes     map[string]*remoteRuntime
	provisional map[string]*outflow // by address
	out         map[uint64]*outflow // by number
	incoming    int                 // inflows of all remotes
	over        bool

	wakes chan struct{} // has a token when there is something in woken or changed
	wmu   sync.Mutex
	woken map[*outflow]struct{}
	gone  map[string]struct{} // ways whose listeners came or went
}

func newFlows(b *Bus, now time.Time) *flows {
	return &flows{
		bus: b, began: now, epoch: uint64(now.UnixNano()), // since 1970
		seen:    newArrived(&b.limits),
		draw:    randomNumber,
		remotes: map[string]*remoteRuntime{}, provisional: map[string]*outflow{}, out: map[uint64]*outflow{},
		wakes: make(chan struct{}, 1), woken: map[*outflow]struct{}{}, gone: map[string]struct{}{},
	}
}

// of gives the flow that a post goes in; nil when it goes as a plain message. The
// table is locked.
func (f *flows) of(p *post, d *destination) *outflow {
	if p.ingress != nil {
		return nil
	}
	return f.to(p.m.Type, p.m.To, d)
}

// to is of for what is posted in this runtime, of a type and to an address.
func (f *flows) to(kind, to string, d *destination) *outflow {
	if f.none || !d.flows && f.unsure.Load() == 0 {
		return nil
	}
	r := d.told
	if r.GetNext() == "" || kind == message.FlowType {
		return nil
	}
	before := f.begun(to)
	switch {
	case before != nil: // order: the address stays in the flow that it began with, until that is empty
		return before
	case r.GetFlow() == pb.FlowUse_FLOW_USE_UNKNOWN:
		return f.provisionalOf(to, r)
	case r.GetFlow() == pb.FlowUse_FLOW_USE_ANNOUNCED, f.hasAnnounced(to, r):
		return f.outTo(r)
	}
	return nil
}

// begun gives the provisional flow of an address; nil when there is none.
func (f *flows) begun(to string) *outflow {
	if f.unsure.Load() == 0 {
		return nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.provisional[to]
}

// mayFlow tells whether messages that take a route may travel in a flow, other than in one
// that has begun for their address.
func mayFlow(r *pb.Route) bool {
	return r.GetFlow() != pb.FlowUse_FLOW_USE_UNSPECIFIED || ofRuntime(r)
}

// ofRuntime tells whether a route is that of a runtime, and neither for its stubs nor for
// services of its domain.
func ofRuntime(r *pb.Route) bool {
	switch r.GetReason() {
	case pb.RouteReason_ROUTE_REASON_SIGNALLING, pb.RouteReason_ROUTE_REASON_BACKEND_SERVICE:
		return false
	}
	return r.GetRuntimeUrl() != ""
}

// hasAnnounced tells whether a runtime of which the registry has not heard that it
// knows flows has shown it, for addresses below its own.
func (f *flows) hasAnnounced(to string, r *pb.Route) bool {
	if !ofRuntime(r) || !address.Within(to, r.GetRuntimeUrl()) {
		return false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	rm := f.remotes[r.GetRuntimeUrl()]
	return rm != nil && rm.announced.Load()
}

// provisionalOf gives the flow of an address whose runtime is being looked up; nil
// when there are too many.
func (f *flows) provisionalOf(to string, r *pb.Route) *outflow {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.provisional[to]
	if out == nil {
		if out = f.newOut(); out != nil {
			to = strings.Clone(to) // it shares its text with a whole message
			out.address = to
			out.hint.Store(waysOf(r))
			f.provisional[to] = out
			f.unsure.Add(1)
		}
	}
	return out
}

// outTo gives the flow to a runtime, and makes it; nil when there are too many.
func (f *flows) outTo(r *pb.Route) *outflow {
	f.mu.RLock()
	rm := f.remotes[r.GetRuntimeUrl()]
	if rm != nil && rm.out != nil {
		defer f.mu.RUnlock()
		return rm.out
	}
	f.mu.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if rm = f.remoteOf(r.GetRuntimeUrl()); rm == nil {
		return nil
	}
	rm.ways.CompareAndSwap(nil, waysOf(r))
	if rm.out == nil {
		if rm.out = f.newOut(); rm.out != nil {
			rm.out.remote.Store(rm)
			rm.out.sender.Announce(time.Now())
		}
	}
	return rm.out
}

func (f *flows) newOut() *outflow {
	if len(f.out) >= f.bus.limits.Flows || f.over {
		return nil
	}
	number := f.draw()
	if f.out[number] != nil {
		return nil // once in ages
	}
	out := &outflow{flows: f, id: flow.ID{Epoch: f.epoch, Number: number}, blocked: map[string]int{}}
	out.sender = flow.NewSender(out.id, f.bus.limits.Flow)
	f.out[number] = out
	return out
}

// randomNumber names a flow so that only those who see its messages can say
// anything about it: nobody else can have them taken for dealt with or refused.
func randomNumber() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it does not fail
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// busSuffix is what the address of a runtime's bus ends with.
var busSuffix = address.Bus("")

// wake has a flow looked at by run.
func (f *flows) wake(out *outflow) {
	f.wmu.Lock()
	f.woken[out] = struct{}{}
	f.wmu.Unlock()
	f.signal()
}

// moved notes that listeners of an address came or went: flows may go that way. The
// table is locked.
func (f *flows) moved(address string) {
	f.mu.RLock()
	none := len(f.out) == 0
	f.mu.RUnlock()
	if none {
		return
	}
	f.wmu.Lock()
	f.gone[address] = struct{}{}
	f.wmu.Unlock()
	f.signal()
}

func (f *flows) signal() {
	select {
	case f.wakes <- struct{}{}:
	default:
	}
}

// sweepEvery is how often flows are looked for that are not used any more, and
// idleTime how long they are kept: a new one costs little.
const (
	sweepEvery = 30 * time.Second
	idleTime   = 2 * time.Minute
)

// run looks at flows whose ways have changed, until ctx is done.
func (f *flows) run(ctx context.Context) {
	sweep, look := time.NewTicker(sweepEvery), time.NewTimer(f.bus.limits.StallTime)
	defer sweep.Stop()
	defer look.Stop()
	for {
		select {
		case <-f.wakes:
			for out := range f.toLookAt() {
				out.look()
			}
		case <-look.C:
			f.lookForStalls()
			look.Reset(f.bus.limits.StallTime) // not a ticker: a look that is late has the next one later
		case now := <-sweep.C:
			f.sweep(now)
		case <-ctx.Done():
			return
		}
	}
}

// toLookAt gives the flows to be looked at.
func (f *flows) toLookAt() map[*outflow]struct{} {
	f.wmu.Lock()
	woken, gone := f.woken, f.gone
	f.woken, f.gone = map[*outflow]struct{}{}, map[string]struct{}{}
	f.wmu.Unlock()
	if len(gone) == 0 {
		return woken
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, out := range f.out {
		if w := out.ways(); w != nil && (has(gone, w.direct) || has(gone, w.relay)) {
			woken[out] = struct{}{}
		}
	}
	return woken
}

func has(set map[string]struct{}, key string) bool {
	_, ok := set[key]
	return ok
}

// sweep removes what has not been used for some time. Flows are removed under the
// lock of the table alone, so that nobody offers a post to one that is gone.
func (f *flows) sweep(now time.Time) {
	f.bus.table.mu.Lock()
	defer f.bus.table.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	used := map[*remoteRuntime]bool{}
	for _, out := range f.out {
		if out.idleSince(now) > idleTime {
			f.drop(out)
		} else {
			used[out.remote.Load()] = true
		}
	}
	for url, rm := range f.remotes {
		for number, in := range rm.in {
			if in.idleSince(now) > idleTime {
				f.endIn(rm, number, in)
			}
		}
		for replica, b := range rm.buses {
			if now.Sub(b.heard) > 2*idleTime {
				delete(rm.buses, replica)
			}
		}
		if !used[rm] && len(rm.in) == 0 && now.Sub(rm.used) > idleTime {
			delete(f.remotes, url)
		}
	}
}

// retire removes a provisional flow whose runtime is known, once it is empty: what
// comes next goes in the flow of the runtime.
func (f *flows) retire(out *outflow) {
	if !out.known.Load() || !out.empty() {
		return
	}
	f.bus.table.mu.Lock()
	defer f.bus.table.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if out.empty() {
		f.drop(out)
	}
}

func (f *flows) drop(out *outflow) {
	out.close()
	delete(f.out, out.id.Number)
	if f.provisional[out.address] == out {
		delete(f.provisional, out.address)
		f.unsure.Add(-1)
	}
	if rm := out.remote.Load(); rm != nil && rm.out == out {
		rm.out = nil
	}
}

func (f *flows) endIn(rm *remoteRuntime, number uint64, in *inflow) {
	in.close()
	delete(rm.in, number)
	f.incoming--
}

// sizes are how many flows there are, out and in.
func (f *flows) sizes() (out, in int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return len(f.out), f.incoming
}

// unsettled are the bytes in all flows to others.
func (f *flows) unsettled() (bytes int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, out := range f.out {
		out.mu.Lock()
		bytes += out.sender.Bytes()
		out.mu.Unlock()
	}
	return bytes
}

// waiting is how many messages wait for room in a flow.
func (f *flows) waiting() (messages int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, out := range f.out {
		out.mu.Lock()
		messages += out.waits
		out.mu.Unlock()
	}
	return messages
}

// end stops all timers. What is under way stays with the clients.
func (f *flows) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	for _, out := range f.out {
		out.close()
	}
	for _, rm := range f.remotes {
		for _, in := range rm.in {
			in.close()
		}
	}
}
