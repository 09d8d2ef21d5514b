package bus

// Which flows from other runtimes there are: each is found, made and given up here. What
// one of them does is in inflow.go.

import (
	"strings"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// in finds a flow, and makes it. One of a newer bus ends all of those before.
func (f *flows) in(fl *pb.Flow, now time.Time) *inflow {
	if in := f.known(fl, now); in != nil {
		return in
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	rm := f.remoteOf(fl.Runtime)
	if rm == nil || !f.isNow(rm, fl) {
		return nil
	}
	rm.announced.Store(true)
	in := rm.in[fl.Id]
	if in != nil && fl.Receiver > in.self && fl.Receiver < latest {
		// Another replica has taken it meanwhile: what this one has is old.
		f.endIn(rm, fl.Id, in)
		in = nil
	}
	if in == nil && f.roomFor(rm) {
		in = f.newIn(rm, fl)
	}
	return in
}

// known gives a flow that is there, and goes on as it was; nil when it has to be looked
// at more closely, which is due now and then anyway.
func (f *flows) known(fl *pb.Flow, now time.Time) *inflow {
	f.mu.RLock()
	defer f.mu.RUnlock()
	rm := f.remotes[fl.Runtime]
	if rm == nil {
		return nil
	}
	in := rm.in[fl.Id]
	if in == nil || in.id.Epoch != fl.Epoch || in.replica != fl.Replica || fl.Receiver > in.self && fl.Receiver < latest {
		return nil
	}
	if b := rm.buses[fl.Replica]; b.epoch != fl.Epoch || now.Sub(b.heard) > heardEvery {
		return nil
	}
	return in
}

// heardEvery is how often it is noted when something came last: idleTime is far longer.
const heardEvery = time.Second

// latest is the latest receiver that is believed to have been there.
const latest = 1 << 63

// isNow tells whether a flow is of an epoch that is that of a runtime's bus, or of one
// of its replicas. One of a newer bus ends all of those before, of the same replica. So
// does an older one once nothing has come of the newer for a long time: that one's clock
// was wrong.
func (f *flows) isNow(rm *remoteRuntime, fl *pb.Flow) bool {
	now := time.Now()
	b := rm.buses[fl.Replica]
	if b == nil {
		if len(rm.buses) >= f.bus.limits.RemoteReplicas {
			f.forgetOldest(rm)
		}
		b = &remoteBus{}
		rm.buses[strings.Clone(fl.Replica)] = b // it shares its text with a whole message
	}
	if fl.Epoch < b.epoch && now.Sub(b.heard) < idleTime {
		return false
	}
	if fl.Epoch != b.epoch {
		f.endOf(rm, fl.Replica)
	}
	*b = remoteBus{fl.Epoch, now}
	return true
}

// endOf ends the flows from a replica.
func (f *flows) endOf(rm *remoteRuntime, replica string) {
	for number, in := range rm.in {
		if in.replica == replica {
			f.endIn(rm, number, in)
		}
	}
}

// forgetOldest makes room for a replica in the place of the one that has been silent for
// longest.
func (f *flows) forgetOldest(rm *remoteRuntime) {
	oldest, since := "", time.Now()
	for replica, b := range rm.buses {
		if !b.heard.After(since) {
			oldest, since = replica, b.heard
		}
	}
	f.endOf(rm, oldest)
	delete(rm.buses, oldest)
}

// rehome ends the flows that another replica takes from now on: what is not dealt with
// is sent again, to that one. If this one takes them again, it is a later receiver.
func (f *flows) rehome() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for url, rm := range f.remotes {
		if f.bus.mesh.owns(url) {
			continue
		}
		for number, in := range rm.in {
			f.endIn(rm, number, in)
		}
	}
}

// roomFor tells whether there may be one more flow from a runtime. One that is idle
// makes room: it costs its sender no more than to send again what it was not told of.
func (f *flows) roomFor(rm *remoteRuntime) bool {
	if len(rm.in) >= f.bus.limits.RemoteFlows {
		for number, in := range rm.in {
			if in.idleSince(time.Now()) > 0 {
				f.endIn(rm, number, in)
				break
			}
		}
	}
	return len(rm.in) < f.bus.limits.RemoteFlows && f.incoming < f.bus.limits.Flows && !f.over
}

// newIn makes the receiver of a flow. It says when it was made: one that comes in the
// place of another has nothing of what that one had.
func (f *flows) newIn(rm *remoteRuntime, fl *pb.Flow) *inflow {
	self := f.epoch + uint64(time.Since(f.began)) // not before it
	if fl.Receiver < latest {                     // the one before may be of another replica, with another clock
		self = max(self, fl.Receiver+1)
	}
	in := &inflow{
		flows: f, remote: rm, id: flow.ID{Epoch: fl.Epoch, Number: fl.Id}, self: self, replica: strings.Clone(fl.Replica),
		receiver: flow.NewReceiver(self, f.bus.limits.Flow),
	}
	rm.in[fl.Id] = in
	f.incoming++
	return in
}
