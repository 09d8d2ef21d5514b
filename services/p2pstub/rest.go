package p2pstub

import "time"

// A connection over which no data goes rests: it beats slowSteps times less often, and
// may be quiet for as many times longer. As soon as data goes, either way, it beats at
// once, and as often as before.
const slowSteps = 3

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
		if !due() { // data went before it was said that this is to be told
			u.resting.Store(false)
			return
		}
		u.health.beat, u.health.quiet = slowSteps*l.Heartbeat, slowSteps*l.Quiet
	case resting && !due():
		u.resting.Store(false)
		u.health.beat, u.health.quiet = l.Heartbeat, l.Quiet
		u.nextBeat = now
		if u.health.state == fine {
			u.rested = now // what was due by the slow beat is not missing
		}
	}
}

// mostLeft is how many heartbeats in a row a side leaves out at most: the next one
// tells it how long the way is.
const mostLeft = sentBeats - 1

// beatOrNot sends the heartbeat that is due. Where the other side beats as often, its
// heartbeats and our answers to them tell both that there is a path: ours waits until
// one of them is missing.
func (u *pulse) beatOrNot(now time.Time) {
	every := u.health.beat
	if u.health.state != fine {
		every = u.peer.stub.limits.Heartbeat
	}
	if at := u.beatenAt.Load(); at > 0 && u.left < mostLeft {
		if next := u.at(&u.beatenAt).Add(every + u.patience(every)); next.After(now) {
			u.left++
			u.nextBeat = next
			return
		}
	}
	u.left = 0
	u.nextBeat = now.Add(every)
	u.beat(now)
}

// patience is how much longer than a beat a side waits for the other's; both beat at
// the same moments for ever if they were equally patient.
func (u *pulse) patience(beat time.Duration) time.Duration {
	if u.peer.role == requester {
		return beat / 8
	}
	return beat / 4
}
