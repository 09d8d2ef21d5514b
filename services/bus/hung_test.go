package bus

import (
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
)

// The p2pstub of the runtime that is posted to hangs: it takes nothing and gives nothing,
// and its runtime does not know. The other one soon sends over the Message Node as well,
// and is told that way what has come, also while messages go back, into the hung stub.
func TestAHungStubHoldsUpNoMessages(t *testing.T) {
	for name, back := range map[string]bool{"one way": false, "there and back": true} {
		t.Run(name, func(t *testing.T) { hangs(t, back) })
	}
}

func hangs(t *testing.T, back bool) {
	synctest.Test(t, func(t *testing.T) {
		s := newStrait(t, Limits{}, 256<<10, 1)
		s.post(1, bob, "")
		s.cross(0)
		s.learn(s.far.bus, address.Bus(runtimeURL), &pb.Route{ // now that there is a flow
			To: address.Bus(runtimeURL), Next: connURL, Relay: nodeURL, RuntimeUrl: runtimeURL, Flow: pb.FlowUse_FLOW_USE_ANNOUNCED,
		})
		began, last, longest := time.Now(), time.Now(), time.Duration(0)
		for time.Since(began) < 8*time.Second {
			if hung := time.Since(began); hung > time.Second { // its heartbeat is missed, then it is given up
				s.routes(hung < 3*time.Second, true)
			}
			s.post(1, bob, "")
			s.leave(near, overDirect, 1) // is lost
			s.arrive(s.leave(near, overRelay, 0)...)
			s.arrive(s.leave(farther, overRelay, 0)...)
			before := len(s.got[bob])
			s.look()
			s.deal(s.listeners[0], 1000)
			if back {
				s.far.bus.flows.remotes[runtimeURL].along() // a message takes it along
			}
			if len(s.got[bob]) > before {
				longest, last = max(longest, time.Since(last)), time.Now()
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if longest = max(longest, time.Since(last)); longest > 1200*time.Millisecond {
			t.Errorf("nothing came for %s", longest)
		}
		if wrong := s.heal(false); wrong != "" {
			t.Error(wrong)
		}
		s.cutOff(s.sender.stream)
		s.endNear()
		s.endFar()
	})
}
