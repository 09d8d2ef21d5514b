package registry

import (
	"time"

	"github.com/peerbus/peerbus/protocol/status"
)

// A stub's status comes on two ways (see heard), and the slower one may still say of a
// connection that it is live when its entry has been closed. An entry that is no more is
// therefore known for Limits.EndedFor: what of it was not heard yet is news, the rest is
// late.

// past is what has been heard of the stub of an entry that is no more.
type past struct {
	stub  string
	heard heard
	since time.Time // zero until the next look at what is due
}

// end notes what was heard of an entry that goes.
func (t *table) end(c *connection) {
	if c.Stub != "" && len(t.ended) < t.limits.Ended {
		t.ended[c.Remote] = &past{stub: c.Stub, heard: c.heard}
	}
}

// late hears a status, and tells whether it is of a connection whose entry is no more, and
// has been heard on the other way before.
func (t *table) late(e event) bool {
	p := t.ended[e.remote]
	return p != nil && e.kind == reported && e.stub == p.stub && !p.begins(e) && !p.heard.hear(e.channel, e.state)
}

// begins tells whether a status is the first of another connection, where the way has left
// out what came between: none says created twice of one.
func (p *past) begins(e event) bool {
	if e.state != status.Created || e.channel == inSnapshot {
		return false
	}
	last := p.heard.each[e.channel]
	return last > 0 && stateAt(last) == status.Created
}

// forgetEnded drops those that have been known for long enough.
func (t *table) forgetEnded(now time.Time) {
	for remote, p := range t.ended {
		switch {
		case p.since.IsZero():
			p.since = now
		case now.Sub(p.since) >= t.limits.EndedFor:
			delete(t.ended, remote)
		}
	}
}
