package bus

import (
	"maps"
	"slices"
)

// A p2pstub that hangs keeps its stream, and takes nothing. gRPC finds it dead, by its
// keepalive, after some 15 s; here it is known sooner by the credit that it does not give.
// Nothing is ended for that, since its machine may be busy: the direct way of a flow is in
// doubt, and what goes over it goes over the Message Node as well, until there is credit.
// A stub that waits for a slow path gives a little now and then (p2pstub.Limits.Sign).

// intake is how much a way has taken of what it was sent.
type intake struct {
	of       *inbox
	credited uint64
	open     bool // it has been sent something that it has given no credit for; a stub here
}

func (in *inbox) intake() intake {
	if in == nil {
		return intake{}
	}
	in.stream.mu.Lock()
	defer in.stream.mu.Unlock()
	here := in.stream.peer == "" // another replica gives credit for what has arrived, however slow
	return intake{in, in.credited, here && in.underWay > 0}
}

// lookForStalls is called each StallTime.
func (f *flows) lookForStalls() {
	f.mu.RLock()
	all := slices.Collect(maps.Values(f.out))
	f.mu.RUnlock()
	begun := 0
	for _, out := range all {
		stalled, news := out.stalls()
		if news {
			out.pump()
		}
		if news && stalled {
			begun++
		}
	}
	f.bus.metrics.stalls.Add(float64(begun))
	if begun > 0 {
		f.bus.log.Info("the P2P stub takes nothing; messages go over the Message Node as well", "count", begun)
	}
}

// stalls notes whether the direct way has taken nothing since the last call, and tells
// whether that is news.
func (o *outflow) stalls() (stalled, news bool) {
	t := o.flows.bus.table
	t.mu.RLock()
	defer t.mu.RUnlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	var now intake
	if w := o.ways(); w != nil {
		now = t.taker(w.direct).intake()
	}
	was := o.stalled
	o.stalled = now.open && now == o.taken
	o.taken = now
	return o.stalled, o.stalled != was
}
