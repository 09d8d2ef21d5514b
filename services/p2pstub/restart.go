package p2pstub

import (
	"fmt"

	"github.com/peerbus/peerbus/protocol/status"
)

// ice is what a machine knows of ICE once the data channel is open, towards a peer
// that restarts it. The requester alone offers; a handler asks it to.
//
//	requester                                     handler
//	   │ down: generation 1                          │ down
//	   │◄──────────────────────── restart: 1 ────────┤
//	   ├─── connectionDescription, generation 1 ────►│
//	   │◄── connectionDescription, generation 1 ─────┤
//	   │◄═══════════════════ ICE ═══════════════════►│
//	   │ up                                       up │
//
// All of it are updates of the two Connection objects. What is older than the
// generation that a side is in changes nothing.
type ice struct {
	restarts   bool   // the other side knows how
	generation uint32 // of the last offer, made or answered
	waiting    bool   // a requester for the answer to its offer, a handler for what its answer leads to
	connected  bool   // it has a path, in this generation
	answering  bool   // something comes over that
	tries      int    // since the path went down
}

// maxTries is how often in a row a path is sought before the connection ends. Each
// has Limits.Restart.
const maxTries = 2

// health takes what happens to the path.
func (t *turn) health(e event) {
	switch e.kind {
	case pathDown:
		t.down(e.reason)
	case iceLost:
		if !t.open || !t.ice.restarts {
			t.end(e.reason)
			return
		}
		t.down(e.reason)
	case pathAnswers:
		t.ice.answering = true
	case iceConnected:
		t.ice.connected = true
		t.ice.waiting = t.ice.waiting && t.role == requester
		if !t.ice.restarts {
			t.up()
		}
	case pathUp:
		t.up()
	case restartOver:
		t.tryAgain()
	}
}

func (t *turn) up() {
	if t.state == status.Disconnected {
		t.ice.tries, t.ice.answering = 0, false
		t.publish(status.Live, "")
	}
}

// down begins to seek another path. It is called again when one that has answered
// has gone quiet before it was used.
func (t *turn) down(reason string) {
	if !t.open || t.retired {
		return
	}
	begins := t.state == status.Live
	if begins {
		t.publish(status.Disconnected, reason)
	}
	if t.ice.restarts && (begins || t.ice.answering) {
		t.ice.tries, t.ice.connected, t.ice.answering = 1, false, false
		t.seek()
	}
}

// tryAgain is when a try has had its time. A path that answers needs none.
func (t *turn) tryAgain() {
	switch {
	case !t.restarting():
	case t.ice.tries >= maxTries:
		t.end(fmt.Sprintf("no path after %d tries to restart ICE", t.ice.tries))
	default:
		t.ice.tries++
		t.ice.waiting = t.ice.waiting && t.role == requester
		t.seek()
	}
}

// restarting tells whether a path is sought.
func (m machine) restarting() bool {
	return m.state == status.Disconnected && m.ice.restarts && !m.ice.answering && !m.over && !m.retired
}

// seek begins ICE anew, or has the other side do so. Where ICE has a path by now
// it is left alone: what waits in the channel needs its time. So is an offer that
// has no answer yet: it is repeated.
func (t *turn) seek() {
	switch {
	case t.ice.connected:
	case t.ice.waiting:
	case t.role == handler:
		t.do(ask)
	default:
		t.ice.generation++
		t.ice.waiting = true
		t.do(restart)
	}
}

// relearn takes what the other side's object says once ICE is under way.
func (t *turn) relearn(e event) {
	switch {
	case !t.ice.restarts:
	case t.role == handler && e.description && e.generation > t.ice.generation && !e.hasty:
		t.ice.generation, t.ice.connected, t.ice.waiting = e.generation, false, true
		t.do(revive)
	case t.role == requester && t.ice.waiting && e.generation == t.ice.generation:
		t.ice.waiting = false
		t.do(applyAnswer)
	case t.role == requester && !t.ice.waiting && e.wanted == t.ice.generation+1 && !e.hasty:
		t.ice.connected = false
		t.seek()
		return
	}
	t.do(candidates)
}
