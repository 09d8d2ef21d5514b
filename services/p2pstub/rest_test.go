package p2pstub

import (
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/status"
)

// A pulse rests once no data has gone for a while, and beats at once when it goes again.
func TestRest(t *testing.T) {
	limits := Limits{Heartbeat: time.Second, Quiet: 4 * time.Second, Rest: 10 * time.Second, RestQuiet: 30 * time.Second}
	began := time.Now()
	u := &pulse{
		peer: &peer{stub: &Stub{limits: limits}}, answers: true, began: began, onRest: func() {}, timer: time.AfterFunc(time.Hour, func() {}),
		health: health{beat: limits.Heartbeat, quiet: limits.Quiet},
	}
	defer u.timer.Stop()
	at := func(d time.Duration) time.Time { return began.Add(d) }
	if u.rest(at(9 * time.Second)); u.resting.Load() {
		t.Fatal("it rests early")
	}
	u.health.state = doubt
	if u.rest(at(11 * time.Second)); u.resting.Load() {
		t.Fatal("it rests in doubt")
	}
	u.health.state = fine
	u.rest(at(11 * time.Second))
	if !u.resting.Load() || u.health.beat != 4*time.Second || u.health.quiet != 30*time.Second {
		t.Fatalf("rests %v, %+v", u.resting.Load(), u.health)
	}
	u.usedThen(int64(12 * time.Second))
	if !u.woken.Load() {
		t.Fatal("it sleeps on while data goes")
	}
	u.rest(at(12 * time.Second))
	if u.resting.Load() || u.health.beat != time.Second || u.health.quiet != 4*time.Second || !u.nextBeat.Equal(at(12*time.Second)) || !u.health.from.Equal(at(12*time.Second)) {
		t.Errorf("rests %v, %+v, next %v", u.resting.Load(), u.health, u.nextBeat)
	}
}

// A turn that comes late, as its process has had no time, takes no silence for a doubt; what
// has come need not have been read yet.
func TestLateTurn(t *testing.T) {
	limits := Limits{Heartbeat: time.Second, Quiet: 4 * time.Second, Rest: time.Hour}
	const far = time.Hour
	for _, late := range []bool{false, true} {
		now := time.Now()
		u := &pulse{
			peer: &peer{stub: &Stub{limits: limits}}, answers: true, began: now.Add(-far), nextBeat: now.Add(far), due: now,
			timer: time.AfterFunc(far, func() {}), health: health{beat: limits.Heartbeat, quiet: limits.Quiet, state: doubt},
		}
		u.heardAt.Store(int64(far - 3*time.Second))
		if late {
			u.due = now.Add(-limits.Heartbeat)
		}
		u.turn()
		u.timer.Stop()
		if left := u.due.Sub(now); left <= limits.Quiet-3*time.Second == late {
			t.Errorf("late %v: it looks again in %v", late, left)
		}
	}
}

// In a rest heartbeats go as seldom when there is a doubt; a path that is down is sought.
func TestADoubtInARestBeatsSlowly(t *testing.T) {
	limits := Limits{Heartbeat: time.Second, Quiet: 4 * time.Second, Rest: time.Second, RestQuiet: time.Minute}
	for state, every := range map[condition]time.Duration{doubt: slowSteps * time.Second, down: time.Second} {
		now := time.Now()
		u := &pulse{peer: &peer{stub: &Stub{limits: limits}}, answers: true, began: now, health: health{state: state, beat: slowSteps * time.Second}}
		u.resting.Store(true)
		if u.beatOrNot(now); !u.nextBeat.Equal(now.Add(every)) {
			t.Errorf("%v: the next one in %v", state, u.nextBeat.Sub(now))
		}
	}
}

// A connection at rest outlasts a silence in which ICE would have ended a search.
func TestARestOutlastsSilence(t *testing.T) {
	limits := pathLimits()
	limits.Patience, limits.Rest, limits.RestQuiet = time.Second, 100*time.Millisecond, time.Minute
	a, b, l := linked(t, limits, nil)
	setUp(t, a, b)
	soon(t, "it does not rest", a.peerOf(bob).pulse.Load().resting.Load)
	l.cut.Store(true)
	checked := a.peerOf(bob).rtc.Checked
	soon(t, "ICE hears something", func() bool { return time.Since(checked()) > 5*limits.Patience/2 })
	l.cut.Store(false)
	a.sees(t, "it is in doubt", func(p *pb.Peer) bool { return !p.Doubt })
	if p := a.peers()[0]; p.State != pb.ConnectionState_CONNECTION_STATE_LIVE || p.Generation != 0 {
		t.Errorf("%v", p)
	}
}

// Connections that rest look at the same moments, soon after they should; others when
// they should.
func TestRestingConnectionsLookTogether(t *testing.T) {
	const beat = 1600 * time.Millisecond
	looks := map[time.Time]bool{}
	for i := range 100 {
		u := &pulse{health: health{beat: beat}}
		at := epoch.Add(time.Hour + time.Duration(i)*time.Millisecond)
		if got := u.together(at); !got.Equal(at) {
			t.Errorf("%v late without a rest", got.Sub(at))
		}
		u.resting.Store(true)
		got := u.together(at)
		if got.Before(at) || got.Sub(at) >= beat/16 {
			t.Errorf("%v late", got.Sub(at))
		}
		looks[got] = true
	}
	if len(looks) != 2 {
		t.Errorf("%d moments", len(looks))
	}
}

// A side sends no heartbeat while the other side does, but for one now and then; and
// none when it is not known yet how long the way is.
func TestHeartbeatsAreLeftOut(t *testing.T) {
	began := time.Now()
	u := &pulse{peer: &peer{stub: &Stub{limits: Limits{Heartbeat: time.Second}}, role: handler}, began: began}
	u.health.beat = time.Second
	beats := 0
	for i := range 100 {
		now := began.Add(time.Duration(i) * time.Second)
		u.beatenAt.Store(int64(now.Sub(began)))
		if u.beatOrNot(now); u.left == 0 {
			beats++
			u.timed.Store(i >= 3) // until then no answer has come
		}
	}
	if beats < 4+100/sentBeats-1 || beats > 4+100/sentBeats+1 {
		t.Errorf("%d heartbeats", beats)
	}
}

// The path of a connection that rests is doubted and given up too, later.
func TestPathIsCutInARest(t *testing.T) {
	limits := pathLimits()
	limits.Rest, limits.RestQuiet = 100*time.Millisecond, 2*time.Second
	a, b, l := linked(t, limits, nil)
	setUp(t, a, b)
	soon(t, "it does not rest", a.peerOf(bob).pulse.Load().resting.Load)
	l.cut.Store(true)
	if _, last := a.await(t, status.Disconnected); !strings.HasPrefix(last.Reason, "quiet for 2s") {
		t.Errorf("reason %q", last.Reason)
	}
}
