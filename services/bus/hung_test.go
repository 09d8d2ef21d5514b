package bus

import (
	"context"
	"strings"
	"sync"
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
		t.Run(name, func(t *testing.T) { hangsThere(t, back) })
	}
}

func hangsThere(t *testing.T, back bool) {
	synctest.Test(t, func(t *testing.T) {
		s := newAcquainted(t)
		began, last, longest := time.Now(), time.Now(), time.Duration(0)
		for time.Since(began) < 8*time.Second {
			if hung := time.Since(began); hung > time.Second { // its heartbeat is missed, then it is given up
				s.routes(hung < 3*time.Second, true)
			}
			s.post(1, bob, "")
			s.leave(near, overDirect, 1) // is lost
			before := len(s.got[bob])
			s.crossRelay()
			if back {
				s.far.bus.flows.remotes[runtimeURL].along() // a message takes it along
			}
			if len(s.got[bob]) > before {
				longest, last = max(longest, time.Since(last)), time.Now()
			}
		}
		if longest = max(longest, time.Since(last)); longest > 1200*time.Millisecond {
			t.Errorf("nothing came for %s", longest)
		}
		s.over()
	})
}

// The p2pstub of the runtime that posts hangs, and nobody there knows. What is posted is
// long, for which a slow way has its time. Yet it goes over the Message Node as well when
// the stub gives no credit, and no more once it does.
func TestAHungStubIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAcquainted(t)
		ctx, cancel := context.WithCancel(t.Context())
		var looking sync.WaitGroup
		looking.Go(func() { s.bus.flows.run(ctx) })
		hung := s.stubs[near][overDirect]
		s.post(20, bob, strings.Repeat("x", 64<<10))
		began := time.Now()
		for len(s.got[bob]) < 21 && time.Since(began) < time.Minute {
			framesOf(t, hung) // it is sent that, and takes nothing
			s.crossRelay()
		}
		if took := time.Since(began); took > 2*s.bus.limits.StallTime+100*time.Millisecond {
			t.Errorf("%d of 21 had come after %s", len(s.got[bob]), took)
		}
		if n := counted(t, s.bus.metrics.stalls); n != 1 {
			t.Errorf("%v stalls are counted", n)
		}
		hung.credit(&pb.Credit{Listener: connURL, Bytes: 1 << 30})
		framesOf(t, hung)
		hung.credit(&pb.Credit{Listener: connURL, Bytes: 1 << 30})
		time.Sleep(s.bus.limits.StallTime)
		synctest.Wait()
		s.post(1, bob, "")
		if relayed := s.leave(near, overRelay, 0); len(relayed) > 0 {
			t.Errorf("it takes what it is sent, and %v goes over the Message Node", relayed)
		}
		cancel()
		looking.Wait()
		s.over()
	})
}

// newAcquainted is two buses of which each knows both ways to the other.
func newAcquainted(t *testing.T) *strait {
	s := newStrait(t, Limits{}, 1<<20, 1)
	s.post(1, bob, "")
	s.cross(0)
	s.look()
	s.learn(s.far.bus, address.Bus(runtimeURL), &pb.Route{ // now that there is a flow
		To: address.Bus(runtimeURL), Next: connURL, Relay: nodeURL, RuntimeUrl: runtimeURL, Flow: pb.FlowUse_FLOW_USE_ANNOUNCED,
	})
	return s
}

// crossRelay carries what goes over the Message Node, there and back.
func (s *strait) crossRelay() {
	s.arrive(s.leave(near, overRelay, 0)...)
	s.arrive(s.leave(farther, overRelay, 0)...)
	s.look()
	s.deal(s.listeners[0], 1000)
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
}

// over lets all come to an end.
func (s *strait) over() {
	if wrong := s.heal(false); wrong != "" {
		s.t.Error(wrong)
	}
	s.cutOff(s.sender.stream)
	s.endNear()
	s.endFar()
}
