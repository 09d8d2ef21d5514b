package bus

import (
	"context"
	"time"
)

// HandOver is for a replica that is told to stop: it has its clients attach elsewhere,
// and gives away what it keeps of others. The gRPC server still serves, and does not say
// any more that it does, so that nobody comes back. It takes Limits.DrainTime at most, and
// no longer than there is a replica that goes on; what is left then is with the clients
// and the other buses, but for unary posts that were only accepted. A bus without others does nothing.
func (b *Bus) HandOver(ctx context.Context) {
	if b.mesh == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, b.limits.DrainTime)
	defer cancel()
	b.mesh.group.Leave()
	if !b.mesh.stays() {
		return // there is nobody to take it
	}
	b.streams.leaveAll()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for empty := 0; ; {
		left := b.kept()
		if empty++; left > 0 {
			empty = 0
		}
		if empty == 3 { // what moves from a queue to a line may be seen in neither
			b.log.Info("all is handed over to the other replicas")
			return
		}
		if !b.mesh.stays() {
			b.log.Warn("not all could be handed over, as no other replica is there that goes on", "count", left)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.log.Warn("not all could be handed over to the other replicas in time", "count", left)
			return
		}
	}
}

// stays tells whether another replica that both sides reach goes on.
func (m *mesh) stays() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if p.here && p.linked() && !p.member.Leaving {
			return true
		}
	}
	return false
}

// kept is how many messages are under way here, in lines, queues and flows. What waits for
// nobody that is known has nowhere to go.
func (b *Bus) kept() int {
	waits := b.table.size()
	n := waits.waiting - waits.idle + b.sources.count() + b.requests.count() + b.flows.unfinished()
	for _, s := range b.streams.here() {
		n += s.kept()
	}
	return n
}

// kept is how many messages are queued for the listeners of a stream or under way to
// them.
func (s *stream) kept() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.inboxes {
		n += in.messages + in.outside
		if in.window != unlimited {
			for _, h := range in.sent.all() {
				n += h.count()
			}
		}
	}
	return n
}

// unfinished is how many flows to others are not empty.
func (f *flows) unfinished() (n int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, out := range f.out {
		if !out.empty() {
			n++
		}
	}
	return n
}

// leaveAll ends all streams but those of other replicas, and takes no more of them.
func (s *streams) leaveAll() {
	s.mu.Lock()
	s.leaving = true
	var all []*stream
	for one := range s.all {
		if one.peer == "" {
			all = append(all, one)
		}
	}
	s.mu.Unlock()
	for _, one := range all {
		one.mu.Lock()
		one.away = true
		one.mu.Unlock()
		one.cancel(errStopping)
	}
}
