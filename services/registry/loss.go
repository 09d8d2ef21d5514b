package registry

import (
	"strings"
	"time"

	"github.com/peerbus/peerbus/protocol/status"
)

// This file is the part of the machine in which a connection is lost, and when
// another attempt is due.

// gone takes that the P2P stub has forgotten a peer connection.
func (s *step) gone() {
	switch {
	case !s.c.exists() || s.e.stub == "":
	case s.e.stub == s.c.Successor.Stub:
		s.giveUpSuccessor(s.e.reason)
	case s.e.stub == s.c.Stub:
		s.lose()
	}
}

// lose is the end of the entry's peer connection.
func (s *step) lose() {
	reason := s.e.reason
	if reason == "" {
		reason = "the P2P stub no longer has it"
	}
	switch {
	case s.c.Successor.Stub != "":
		s.down(reason)
		return
	case s.c.State == status.Live:
		s.disconnect(reason)
	case s.c.underWay():
		s.fail(reason, true)
		if s.e.lost {
			s.c.NextAttempt = s.e.at // elsewhere
		}
		return
	}
	s.c.Phase = idle
	s.drop(reason)
	if s.c.State == status.Disconnected && s.c.NextAttempt.IsZero() {
		s.retryLater()
		s.do(effect{kind: reroute}) // a message may bring it back from here on
	}
}

// down is the end of live while the stub is still there: it has some time to bring
// the connection back. A successor goes on in its place.
func (s *step) down(reason string) {
	if s.c.Successor.Stub != "" {
		s.inherit(reason)
		return
	}
	s.disconnect(reason)
	s.c.Phase, s.c.deadline = restarting, s.e.at.Add(s.r.limits.RestartWait)
}

// disconnect is the end of live.
func (s *step) disconnect(reason string) {
	s.noteLife()
	s.c.Phase, s.c.news.doubt = idle, false
	s.c.Resting = closedByOther(reason)
	s.to(status.Disconnected, reason)
	s.do(effect{kind: retire, url: s.c.URL}, effect{kind: reroute})
}

// closedByOther tells whether the other side has closed a connection. It knows
// why, and wants it again when it does: the stub says so in these words.
func closedByOther(reason string) bool { return strings.Contains(reason, "closed by the other side") }

// noteLife counts connections that were live for a moment only.
func (s *step) noteLife() {
	for i := len(s.c.Transitions) - 1; i >= 0; i-- {
		if t := s.c.Transitions[i]; t.State == status.Live {
			if s.e.at.Sub(t.Time) < s.r.limits.Stable {
				s.c.Flaps++
			} else {
				s.c.Flaps = 0
			}
			return
		}
	}
}

// fail ends a set-up. A requester is disposed of, since there is one for each;
// the handler's peer connection when it may still be there.
func (s *step) fail(reason string, alive bool) {
	wasRegistering := s.c.Phase == registering
	s.c.Phase, s.c.news.doubt = idle, false
	s.c.NextAttempt, s.c.retryTold = s.e.at.Add(s.backoff(s.c.Attempts)), false
	if wasRegistering {
		s.do(effect{kind: retire, url: s.c.pending})
	}
	s.dropSuccessor(reason)
	switch s.c.State {
	case status.Live:
		s.to(status.Disconnected, reason)
	case status.Disconnected:
		s.c.Reason = reason
	default:
		s.to(status.Failed, reason)
	}
	if s.c.Role == requester {
		s.c.Handler = "" // it may be another one by now: the next attempt looks it up
	}
	if alive || s.c.Role == requester {
		s.drop(reason)
	}
	s.do(effect{kind: reroute})
}

// retryLater is when what was lost is tried again: at once, by the side that was
// the requester, or whose replica of p2pstub is gone; a moment later by the other, and where it was live for a moment
// only.
func (s *step) retryLater() {
	s.c.retryTold = false
	switch {
	case s.c.Resting:
		s.c.NextAttempt = time.Time{} // when a message wants it
	case s.e.lost, s.c.Flaps == 0 && s.c.Role == requester:
		s.c.NextAttempt = s.e.at
	default:
		s.c.NextAttempt = s.e.at.Add(s.backoff(min(s.c.Flaps, maxFlaps)))
	}
}

// maxFlaps is how many short lives the backoff counts: what comes back each time
// must not be kept away for long.
const maxFlaps = 3

// postpone counts an attempt that could not be made.
func (s *step) postpone() {
	if s.c.Phase != idle || s.c.usable() {
		return
	}
	s.c.Attempts++
	s.c.Reason = s.e.reason
	s.c.NextAttempt, s.c.retryTold = s.e.at.Add(s.backoff(s.c.Attempts)), false
}

// backoff is the wait after so many attempts. The side that was the handler waits
// a step longer, so that both do not meet.
func (s *step) backoff(attempts int) time.Duration {
	if s.c.Role == handler {
		attempts++
	}
	return s.r.limits.retryAfter(attempts, s.e.jitter)
}

// retryAfter is the wait after so many attempts: it doubles, with jitter of up to
// a half, so that both sides do not come back at the same moment.
func (l Limits) retryAfter(attempts int, jitter float64) time.Duration {
	wait := l.RetryMin << min(max(attempts-1, 0), 20)
	if wait > l.RetryMax || wait <= 0 {
		wait = l.RetryMax
	}
	return wait - time.Duration(jitter*float64(wait)/2)
}

// drop lets go of the entry's stub, and has its peer connection closed.
func (s *step) drop(reason string) {
	if s.c.Stub != "" && !(s.c.Role == handler && s.e.kind == gone) {
		s.do(effect{kind: dispose, stub: s.c.Stub, replica: s.c.Replica, role: s.c.Role, reason: reason})
	}
	s.c.Stub = ""
}

// release is drop for an entry at rest. A handler's connection that failed is
// closed already, and closing it could hit the one that comes after it.
func (s *step) release(reason string) {
	if s.c.Role == handler && s.c.State == status.Failed {
		s.c.Stub = ""
		return
	}
	s.drop(reason)
}

// end removes the entry.
func (s *step) end() {
	if !s.c.exists() {
		return
	}
	if s.c.State == status.Live || s.c.Phase == registering {
		s.do(effect{kind: retire, url: s.c.URL})
	}
	s.dropSuccessor(s.e.reason)
	s.release(s.e.reason)
	s.c = connection{}
	s.do(effect{kind: forget}, effect{kind: reroute})
}
