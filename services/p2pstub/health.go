package p2pstub

import (
	"fmt"
	"slices"
	"time"
)

// health is what is known of a path by what comes over it: heartbeats, their
// answers, and data.
//
//	fine ── 1½ beats of silence ──► doubt ── quiet, or ICE has lost it ──► down
//	 ▲ ◄────── anything comes ────────┘                                     │ ▲
//	 │                                                       it answers     ▼ │ silence
//	 └────────── for longer, the more often it was down ─────────────── answering
//
// It is pure: look takes the time, and when something came last.
type health struct {
	beat  time.Duration // between two heartbeats of a side
	quiet time.Duration // of silence, and the path is down
	from  time.Time     // silence before this does not count
	state condition
	since time.Time   // it answers
	downs []time.Time // within the last flapTime
}

// condition is a state of health.
type condition int

const (
	fine condition = iota
	doubt
	down
	answering
)

func (c condition) String() string { return [...]string{"fine", "doubt", "down", "answering"}[c] }

// Damping of a path that comes and goes.
const (
	flapTime = time.Minute      // in which its downs are counted
	maxDowns = 16               // that are counted
	maxHold  = 30 * time.Second // for which it must answer at most
)

// at has it go on at another pace, by which nothing is missing yet. A doubt stays until
// something comes.
func (h health) at(now time.Time, beat, quiet time.Duration) health {
	h.beat, h.quiet, h.from = beat, quiet, now
	return h
}

// late is when it was to be looked at long ago: what has come meanwhile need not have been
// read yet, nor what was due have left. Of a silence that goes on it counts once.
func (h health) late(now, heard time.Time) health {
	if heard.After(h.from) {
		h.from = now
	}
	return h
}

// look goes one step, if there is one to go; reason says why it is down. hurried is
// a path that has most likely changed: it gets no more than its doubt.
func (h health) look(now, heard time.Time, hurried bool) (next health, stepped bool, reason string) {
	silent, silence := now.Sub(heard) > h.doubtAfter(), now.Sub(h.counted(heard))
	switch {
	case h.state == fine && silence > h.doubtAfter():
		h.state = doubt
	case h.state == doubt && !silent:
		h.state = fine
	case h.state == doubt && silence >= h.quiet:
		return h.fall(now, fmt.Sprintf("quiet for %v", h.quiet))
	case h.state == doubt && hurried:
		return h.fall(now, "quiet since the addresses of this machine have changed")
	case h.state == down && !silent && heard.After(h.downs[len(h.downs)-1]):
		h.state, h.since = answering, now
	case h.state == answering && silence > h.doubtAfter():
		h.state = down
		return h, true, "quiet again"
	case h.state == answering && now.Sub(h.since) >= h.hold(now):
		h.state = fine
	default:
		return h, false, ""
	}
	return h, true, ""
}

// lose takes the news that ICE has lost the path.
func (h health) lose(now time.Time, reason string) (next health, stepped bool, why string) {
	switch h.state {
	case down:
		return h, false, ""
	case answering:
		h.state = down
		return h, true, reason
	default:
		return h.fall(now, reason)
	}
}

func (h health) fall(now time.Time, reason string) (health, bool, string) {
	h.state = down
	h.downs = append(h.recent(now), now)
	h.downs = h.downs[max(0, len(h.downs)-maxDowns):]
	return h, true, reason
}

// recent are the downs that count; the slice is a new one.
func (h health) recent(now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(h.downs), func(t time.Time) bool { return now.Sub(t) >= flapTime })
}

// hold is how long the path must answer before it is fine: twice as long for each
// time that it has been down.
func (h health) hold(now time.Time) time.Duration {
	return min(h.beat<<len(h.recent(now)), maxHold)
}

// doubtAfter is the silence in which both the other side's heartbeat and its
// answer to ours are missing, wherever they stand to each other.
func (h health) doubtAfter() time.Duration { return h.beat + h.beat/2 }

// counted is from when on silence counts.
func (h health) counted(heard time.Time) time.Time {
	if h.from.After(heard) {
		return h.from
	}
	return heard
}

// next is when to look again if nothing comes; zero: not before something does.
func (h health) next(now, heard time.Time) time.Time {
	switch h.state {
	case fine:
		return h.counted(heard).Add(h.doubtAfter() + 1)
	case doubt:
		return h.counted(heard).Add(h.quiet)
	case answering:
		silent, held := h.counted(heard).Add(h.doubtAfter()+1), h.since.Add(h.hold(now))
		if held.Before(silent) {
			return held
		}
		return silent
	default:
		return time.Time{}
	}
}
