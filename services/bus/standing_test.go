package bus

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// queued gives an abroad whose relay has taken one of three messages to frank, whose runtime
// is being looked up, and has the others in its queue.
func queued(t *testing.T, batches bool) *abroad {
	a := newAbroad(t, Limits{}, 1, connURL, batches)
	a.post(a.sender, 3, frank, "", false)
	a.looks()
	a.carry(overRelay, 0)
	return a
}

// takes has the relay take what it may, which arrives. Nothing is said of it.
func (a *abroad) takes() {
	a.stubs[overRelay].credit(&pb.Credit{Listener: nodeURL, Bytes: 1 << 20})
	a.carry(overRelay, 0)
}

func eachWay(t *testing.T, test func(t *testing.T, batches bool)) {
	for _, batches := range []bool{true, false} {
		t.Run(fmt.Sprint("batches ", batches), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, batches) })
		})
	}
}

// What a stub has not taken is not told delivered to a peer of which nothing is heard: it has
// not left. Once it has, it is, as anything else.
func TestWhatStandsInAQueueIsNotDelivered(t *testing.T) {
	eachWay(t, func(t *testing.T, batches bool) {
		a := queued(t, batches)
		time.Sleep(30 * time.Second)
		a.opens(2, 3)
		a.takes()
		time.Sleep(10 * time.Second)
		a.opens(3)
		a.takes()
		time.Sleep(10 * time.Second)
		a.opens()
		a.end()
	})
}

// opens wants these to be open, all others to have come and to be delivered, and none
// refused. What is open is posted again when the bus is restarted.
func (a *abroad) opens(want ...uint64) {
	a.t.Helper()
	s := a.look().Crowd
	if got := s.Open[0]; !slices.Equal(got, want) || len(s.Refused[0]) > 0 {
		a.t.Errorf("%v are open, want %v; %v are refused", got, want, s.Refused[0])
	}
	for n := uint64(1); n <= a.sender.posted; n++ {
		if came := slices.Contains(a.handed, fmt.Sprint(frank, " ", n)); came == slices.Contains(want, n) {
			a.t.Errorf("%d has come: %v", n, came)
		}
	}
}

// When its runtime is known then, it comes there in its flow, once and in turn; or plain, to a
// runtime that turns out to know no flows, before anything newer.
func TestWhatStandsInAQueueComesWhenItsRuntimeIsKnown(t *testing.T) {
	for _, use := range []pb.FlowUse{pb.FlowUse_FLOW_USE_ANNOUNCED, pb.FlowUse_FLOW_USE_UNSPECIFIED} {
		eachWay(t, func(t *testing.T, batches bool) {
			a := queued(t, batches)
			time.Sleep(30 * time.Second)
			a.opens(2, 3)
			a.route(frank, use, false, false)
			a.post(a.sender, 1, frank, "", false)
			for range 100 {
				a.takes()
				if use == pb.FlowUse_FLOW_USE_ANNOUNCED {
					a.settleDown()
				}
			}
			a.opens()
			if want := []string{frank + " 1", frank + " 2", frank + " 3", frank + " 4"}; !slices.Equal(a.handed, want) {
				t.Errorf("%v: %v, want %v", use, a.handed, want)
			}
			a.end()
		})
	}
}

// A stub that comes and goes keeps nothing open: what stood in its queue may have left.
func TestAStubThatFlapsKeepsNothingOpen(t *testing.T) {
	eachWay(t, func(t *testing.T, batches bool) {
		a := queued(t, batches)
		for range 5 {
			time.Sleep(3 * time.Second)
			a.leaves(overRelay)
			a.looks()
			a.comes(overRelay)
			a.looks()
		}
		if s := a.look().Crowd; len(s.Open[0])+len(s.Refused[0]) > 0 {
			t.Errorf("%v are open, %v refused", s.Open[0], s.Refused[0])
		}
		a.end()
	})
}

// What a stub does not take at all is given up after Limits.Flow.Patience, and is refused: it
// has not left.
func TestWhatStandsForeverIsGivenUp(t *testing.T) {
	eachWay(t, func(t *testing.T, batches bool) {
		a := queued(t, batches)
		time.Sleep(a.bus.limits.Flow.Patience - time.Second)
		a.opens(2, 3)
		time.Sleep(2 * time.Second)
		if s := a.look().Crowd; len(s.Open[0]) > 0 || !slices.Equal(s.Refused[0], []uint64{2, 3}) {
			t.Errorf("%v are open, %v refused", s.Open[0], s.Refused[0])
		}
		a.end()
	})
}
