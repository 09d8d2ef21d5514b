package p2pstub

import "time"

// A connection over which no data goes rests: it sends no heartbeats as long as ICE's
// own checks, or the other side's heartbeats, tell that there is a path, and else
// slowSteps times as seldom: ICE is silent for up to 4 s after anything else has gone. As
// soon as data goes, either way, it beats at once, and as often as before.
const slowSteps = 4

// used notes that data goes.
func (u *pulse) used() { u.usedThen(int64(time.Since(u.began))) }

func (u *pulse) usedThen(now int64) {
	u.usedAt.Store(now)
	if u.resting.Load() {
		u.signal()
	}
}

// rest begins a rest, or ends it.
func (u *pulse) rest(now time.Time) {
	l := u.peer.stub.limits
	due := func() bool { return u.answers && now.Sub(u.at(&u.usedAt)) >= l.Rest }
	switch resting := u.resting.Load(); {
	case !resting && due() && u.health.state == fine:
		u.resting.Store(true)
		if !due() { // data went before it could be told
			u.resting.Store(false)
			return
		}
		u.health = u.health.at(now, slowSteps*l.Heartbeat, l.RestQuiet)
		u.onRest()
	case resting && !due():
		u.resting.Store(false)
		u.health = u.health.at(now, l.Heartbeat, l.Quiet)
		u.nextBeat = now
	}
}

// mostLeft is how many heartbeats in a row a side leaves out at most while it does not
// rest: the next one tells it how long the way is.
const mostLeft = sentBeats - 1

// beatOrNot sends the heartbeat that is due, unless it would tell nothing new.
func (u *pulse) beatOrNot(now time.Time) {
	every := u.health.beat // also in the doubt of a rest: a machine that is late has no time for more
	if u.health.state > doubt {
		every = u.peer.stub.limits.Heartbeat
	}
	if next := u.enough().Add(every + u.patience(every)); next.After(now) {
		u.left++
		u.nextBeat = next
		return
	}
	u.left = 0
	u.nextBeat = now.Add(every)
	u.beat(now)
}

// enough is when something came that does as well as an answer to a heartbeat of ours:
// in a rest anything, else a heartbeat of the other side, which was answered and so has
// told both that there is a path.
func (u *pulse) enough() time.Time {
	switch {
	case !u.timed.Load():
		return time.Time{} // how long the way is is not known yet
	case u.resting.Load():
		return u.lastHeard()
	case u.beatenAt.Load() > 0 && u.left < mostLeft:
		return u.at(&u.beatenAt)
	default:
		return time.Time{}
	}
}

// patience is how much longer than a beat a side waits for the other's; both would beat
// at the same moments for ever if they were equally patient.
func (u *pulse) patience(beat time.Duration) time.Duration {
	if u.peer.role == requester {
		return beat / 8
	}
	return beat / 4
}

// epoch is what the moments are counted from at which connections look that rest.
var epoch = time.Now()

// together is when a connection looks that is to look at a time. Those that rest do so at
// the same moments, some a beat: thousands of them do not wake the process one by one.
func (u *pulse) together(at time.Time) time.Time {
	every := u.health.beat / 16
	if !u.resting.Load() || every <= 0 {
		return at
	}
	return epoch.Add((at.Sub(epoch) + every - 1) / every * every)
}
