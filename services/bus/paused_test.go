package bus

import (
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
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

// silent is a replica that takes connections, and does not even say welcome.
type silent struct {
	pb.UnimplementedMessageBusServer
	came chan struct{}
}

func (s silent) Attach(call pb.MessageBus_AttachServer) error {
	s.came <- struct{}{}
	<-call.Context().Done()
	return nil
}

// A replica that is paused before it has answered at all.
func TestAListenerIsReadyWithoutAReplicaThatNeverAnswered(t *testing.T) {
	c := newCluster(t, Limits{JoinTime: time.Hour}, 1)
	h := c.all[0]
	app := h.app()
	other, d := silent{came: make(chan struct{}, 1)}, &door{t: t}
	d.open(func(s *grpc.Server) { pb.RegisterMessageBusServer(s, other) })
	t.Cleanup(d.close)
	c.roster.seat("silent").take(d)
	<-other.came
	h.listen(app, carol)
}

// present tells whether a replica is a member.
func (m *mesh) present(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[id]
	return p != nil && p.here
}
