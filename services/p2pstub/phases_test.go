package p2pstub

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

func TestPhases(t *testing.T) {
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	type event struct {
		phase setupPhase
		at    int
		want  []lap
	}
	for name, tc := range map[string]struct {
		role   role
		events []event
		now    setupPhase
	}{
		"in order": {requester, []event{
			{phaseDescription, 2, []lap{{phaseDescription, 2 * time.Millisecond}}},
			{phaseInvitation, 5, []lap{{phaseInvitation, 3 * time.Millisecond}}},
			{phaseRemote, 45, []lap{{phaseRemote, 40 * time.Millisecond}}},
		}, phaseICE},
		"a handler answers": {handler, []event{
			{phaseRemote, 0, []lap{{phaseRemote, 0}}},
			{phaseDescription, 4, []lap{{phaseDescription, 4 * time.Millisecond}}},
		}, phaseInvitation},
		"once": {requester, []event{
			{phaseDescription, 1, []lap{{phaseDescription, time.Millisecond}}},
			{phaseDescription, 9, nil},
		}, phaseInvitation},
		"a late callback": {requester, []event{
			{phaseDescription, 1, []lap{{phaseDescription, time.Millisecond}}},
			{phaseInvitation, 1, []lap{{phaseInvitation, 0}}},
			{phaseRemote, 2, []lap{{phaseRemote, time.Millisecond}}},
			{phaseChannel, 10, []lap{{phaseICE, 8 * time.Millisecond}, {phaseDTLS, 0}, {phaseChannel, 0}}},
			{phaseICE, 8, nil},
			{phaseDTLS, 9, nil},
		}, phaseChannel},
		"a clock that jumps": {handler, []event{
			{phaseRemote, -5, []lap{{phaseRemote, 0}}},
			{phaseDescription, 3, []lap{{phaseDescription, 3 * time.Millisecond}}},
		}, phaseInvitation},
	} {
		t.Run(name, func(t *testing.T) {
			l := laps{role: tc.role, last: began}
			for _, e := range tc.events {
				var got []lap
				if l, got = l.reach(e.phase, at(e.at)); !slices.Equal(got, e.want) {
					t.Errorf("%s at %d: %v, want %v", e.phase, e.at, got, e.want)
				}
			}
			if l.now() != tc.now {
				t.Errorf("is in %s, want %s", l.now(), tc.now)
			}
		})
	}
}

func TestQueuesAreMeasured(t *testing.T) {
	s, raw := still(), &drained{}
	p := s.peerOf(requester, "r")
	c, _ := newChannel(raw, framing.PeerBus, datasync.Connection{Sequels: true}, DefaultLimits(), newMetrics(prometheus.NewRegistry()), func() {})
	p.out.Store(c)
	s.all[p] = true
	if s.queued() != 0 || s.buffered() != 0 {
		t.Fatalf("%d and %d bytes of nothing", s.queued(), s.buffered())
	}
	if err := c.send(t.Context(), codec.Bare(text(1, "a", "b", "hello"))); err != nil {
		t.Fatal(err)
	}
	raw.buffered = 77
	if s.queued() < 5 || s.buffered() != 77 {
		t.Errorf("%d bytes queued, %d buffered", s.queued(), s.buffered())
	}
}

// Each counter of the sockets has the amount that its labels name.
func TestTrafficIsNamed(t *testing.T) {
	r := prometheus.NewRegistry()
	newMetrics(nil).watch(r, &Stub{})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, f := range families {
		series += len(f.Metric)
	}
	if series != 3+1+2*4 {
		t.Errorf("%d series", series)
	}
	var all rtc.Traffic
	all.Sent.STUN, all.Sent.DTLS = rtc.Amount{Number: 1}, rtc.Amount{Number: 2}
	all.Received.STUN, all.Received.DTLS = rtc.Amount{Number: 3}, rtc.Amount{Number: 4}
	for i, one := range traffics {
		if n := one.amount(all).Number; n != uint64(i)+1 { // four
			t.Errorf("%s %s is %d", one.direction, one.kind, n)
		}
	}
}
