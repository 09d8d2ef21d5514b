package bus

import (
	"testing"
	"time"
)

// A replica that is paused keeps its connections, and answers nothing. The listeners of
// others are ready without it, and it learns of them when it goes on.
func TestAListenerIsReadyWithoutAPausedReplica(t *testing.T) {
	for name, gone := range map[string]bool{"that is a member still": false, "that is none any more": true} {
		t.Run(name, func(t *testing.T) {
			h, g := haunted(t, Limits{JoinTime: time.Hour})
			app := h.app()
			h.listen(app, alice)
			g.paused.Lock()
			if gone {
				g.seat.roster.drop(g.seat)
				h.until("it is no member", func() bool { return !h.bus.mesh.present("ghost") })
			}
			h.listen(app, carol) // it waits for a moment, or not at all
			h.listen(app, bob)   // it does not wait
			if g.has(bob) {
				t.Error("the replica is not paused")
			}
			g.paused.Unlock()
			h.until("it learns of the listeners", func() bool { return g.has(carol) && g.has(bob) })
			l := h.bus.mesh.linkTo(func(*replica) bool { return true })
			h.until("it is waited for again", func() bool { return !l.late.Load() })
		})
	}
}

// present tells whether a replica is a member.
func (m *mesh) present(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[id]
	return p != nil && p.here
}
