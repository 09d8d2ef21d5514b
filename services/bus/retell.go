package bus

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// Listeners that another replica does not take: its table is full, or has an alias that
// does not go with one of these. They are told again until it does, one each second, and
// more at once when that one was taken. What is kept of them is bounded by
// Limits.Listeners of this replica.

// retellMany is how many are told again when there is room.
const retellMany = 64

// refusals are the listeners that the other replica of a link has refused; true is one
// that it has been told of again. The link's mutex guards it.
type refusals struct {
	of   map[added]bool
	room bool // one was taken that had been refused
	said bool // in the log
}

// judged takes the answer of the other replica to a change. first tells that the listener
// was not refused before.
func (r *refusals) judged(c *pb.ReplicaChange, code int32) (first bool) {
	key := added{c.GetAddress(), c.GetLeadsTo()}
	_, was := r.of[key]
	switch {
	case key.address == "" || c.GetRemove():
	case code >= int32(fault.BadRequest):
		r.of[key] = false
		return !was
	case was:
		delete(r.of, key)
		r.room = true
	}
	return false
}

// again gives some that the other replica may be told of again.
func (r *refusals) again(n int) (keys []added) {
	for key, told := range r.of {
		if len(keys) == n {
			break
		}
		if !told {
			r.of[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// note counts and logs what the other replica has answered to a change: it is said once
// that it refuses, and once that it does not any more.
func (l *link) note(c *pb.ReplicaChange, o *pb.Outcome) {
	l.mu.Lock()
	r := &l.refused
	first := r.judged(c, o.GetCode())
	begins, ends := first && !r.said, len(r.of) == 0 && r.said
	r.said = r.said && !ends || begins
	room := r.room
	l.mu.Unlock()
	if first {
		l.bus.metrics.refused(reasonRemote)
	}
	switch {
	case begins:
		l.bus.log.Warn("another replica does not take all listeners of this one; it is told again", "replica", l.member.ID,
			"endpoint", l.member.Addr, "address", c.GetAddress(), "leads_to", c.GetLeadsTo(), "error", o.GetDescription())
	case ends:
		l.bus.log.Info("another replica takes all listeners of this one again", "replica", l.member.ID, "endpoint", l.member.Addr)
	}
	if room {
		l.mesh.look()
	}
}

// retellable gives listeners to tell again: n, or more when one was taken.
func (l *link) retellable(n int) []added {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused.room {
		n, l.refused.room = retellMany, false
	}
	return l.refused.again(n)
}

// retell tells the other replica again of some listeners that it has refused.
func (t *table) retell(l *link, n int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, key := range l.retellable(n) {
		if sh := t.shared[key]; sh != nil {
			l.tell(sh.told)
		} else {
			l.forget(key)
		}
	}
}

// forget notes that a listener is gone that the other replica has refused.
func (l *link) forget(key added) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.refused.of, key)
}
