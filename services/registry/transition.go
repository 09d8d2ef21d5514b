package registry

import (
	"fmt"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// rules are what the machine knows beside the entry.
type rules struct {
	own    string // URL of this runtime
	limits Limits
}

// next is the machine of an entry. An event that changes nothing, since it is
// late or about a stub that the entry does not use, gives the entry as it was;
// one that may not happen is refused with 409.
func next(c connection, e event, r rules) (connection, []effect, error) {
	s := &step{c: c, e: e, r: r}
	s.c.Transitions = append([]transition(nil), c.Transitions...)
	if err := s.run(); err != nil {
		return c, nil, err
	}
	return s.c, s.effects, nil
}

// step is one turn of the machine.
type step struct {
	c       connection
	e       event
	r       rules
	effects []effect
}

func (s *step) run() error {
	switch s.e.kind {
	case wanted:
		s.want()
	case reported:
		return s.report()
	case gone:
		if s.e.stub == s.c.Stub && s.c.exists() {
			s.lose()
		}
	case registered:
		s.becomeLive()
	case refused:
		if s.c.Phase == registering && s.e.epoch == s.c.epoch {
			s.fail(s.e.reason, true)
		}
	case overdue:
		if s.c.underWay() && !s.e.at.Before(s.c.deadline) {
			s.fail(fmt.Sprintf("the set-up took longer than %v", s.r.limits.Setup), true)
		}
	case expired, closed:
		s.end()
	case unseen:
		s.doubt()
	}
	return nil
}

// doubt keeps messages off a live connection until the P2P stub says that it is
// still up: where nobody takes them, they would wait in vain.
func (s *step) doubt() {
	if !s.c.usable() {
		return
	}
	s.c.Phase, s.c.heard = unconfirmed, heard{}
	s.do(effect{kind: reroute})
}

// want starts a set-up, unless there is a connection or one under way.
func (s *step) want() {
	if s.c.underWay() || s.c.State == status.Live {
		return
	}
	if s.c.Role == handler {
		s.c.Stub = "" // the new stub displaces it; closing it could hit what the other side has begun meanwhile
	} else {
		s.drop("a new set-up takes its place")
	}
	s.begin(requester)
	s.c.Handler = s.e.handler
	s.do(effect{kind: deploy, stub: s.c.Stub, role: requester})
}

// begin makes the event's stub the entry's, with a set-up under way.
func (s *step) begin(role pb.ConnectionRole) {
	if !s.c.exists() {
		s.c.ID, s.c.Remote = s.e.id, s.e.remote
	}
	s.c.Role, s.c.Stub, s.c.heard = role, s.e.stub, heard{}
	s.c.Phase, s.c.deadline = settingUp, s.e.at.Add(s.r.limits.Setup)
	s.c.Attempts++
	s.c.NextAttempt = time.Time{}
	if s.c.State == status.None || s.c.State == status.Failed {
		s.to(status.Created, "")
	}
}

// report takes a stub's status.
func (s *step) report() error {
	if !s.c.exists() || s.e.stub != s.c.Stub {
		return s.reportOfAnother()
	}
	if !s.c.heard.hear(s.e.channel, s.e.state) {
		return nil // said before
	}
	switch s.e.state {
	case status.Created, status.InProgress:
		return s.reportProgress()
	case status.Live:
		return s.reportLive()
	case status.Disconnected:
		return s.reportDisconnected()
	default:
		if !s.c.underWay() {
			return s.illegal()
		}
		s.fail(s.e.reason, false)
		return nil
	}
}

// reportOfAnother takes the status of a stub that is not the entry's.
func (s *step) reportOfAnother() error {
	switch {
	case s.e.state == status.Created && s.e.role == handler && s.yields():
		s.takeOver("the remote runtime sets it up")
	case s.e.state == status.Live:
		s.takeOver("another stub has it")
		s.c.heard.hear(s.e.channel, status.Live)
		return s.reportLive()
	default:
		return nil
	}
	s.c.heard.hear(s.e.channel, s.e.state)
	return nil
}

// yields tells whether the handler's set-up goes before what the entry has. When
// both sides began at once, the runtime whose URL sorts first keeps its requester
// (wire contract, section 7).
func (s *step) yields() bool {
	switch {
	case s.c.State == status.Live || s.c.Phase == registering:
		return false
	case s.c.Phase == settingUp && s.c.Role == requester:
		return s.r.own > s.c.Remote
	default:
		return true
	}
}

// takeOver makes another stub the entry's.
func (s *step) takeOver(reason string) {
	if s.c.State == status.Live {
		s.disconnect(reason)
	}
	s.release(reason)
	s.begin(s.e.role)
}

// reportProgress is created or in-progress of the entry's stub. After a
// connection that was there, it is a new one in its place.
func (s *step) reportProgress() error {
	if s.c.State == status.Live {
		s.disconnect("it is set up anew")
	}
	if s.c.Phase != settingUp {
		s.begin(s.c.Role)
		s.c.heard.hear(s.e.channel, s.e.state)
	}
	if s.e.state == status.InProgress && s.c.State == status.Created {
		s.to(status.InProgress, "")
	}
	return nil
}

func (s *step) reportLive() error {
	switch {
	case s.c.State == status.Failed:
		return s.illegal()
	case s.c.Phase == registering || s.c.usable():
		return nil
	case s.c.State == status.Created:
		s.to(status.InProgress, "") // merged by a watcher, or never said
	}
	s.register()
	return nil
}

func (s *step) reportDisconnected() error {
	switch {
	case s.c.State == status.Live:
		s.disconnect(s.e.reason)
	case s.c.Phase == registering:
		s.fail("lost while it was being registered: "+s.e.reason, true)
	case s.c.State == status.Disconnected && s.c.Phase == idle:
	default:
		return s.illegal()
	}
	return nil
}

// register begins steps 1 to 3 of section 9. The address keeps the id of the
// entry, so that it is the same whenever the connection comes back.
func (s *step) register() {
	s.c.Phase, s.c.deadline = registering, s.e.at.Add(s.r.limits.Setup)
	s.c.epoch++
	s.do(effect{
		kind: register, stub: s.c.Stub, role: s.c.Role, epoch: s.c.epoch,
		url: address.P2PConnectionURL(s.r.own, s.c.ID),
	})
}

// becomeLive is step 4, and what follows it.
func (s *step) becomeLive() {
	if s.c.Phase != registering || s.e.epoch != s.c.epoch {
		return
	}
	s.c.Phase = idle
	s.c.URL = address.P2PConnectionURL(s.r.own, s.c.ID)
	s.c.Attempts, s.c.NextAttempt, s.c.Reason = 0, time.Time{}, ""
	if s.c.State != status.Live {
		s.to(status.Live, "")
	}
	s.do(effect{kind: reroute}, effect{kind: learn, stub: s.c.Stub, role: s.c.Role})
}

// lose is the end of the entry's peer connection.
func (s *step) lose() {
	reason := s.e.reason
	if reason == "" {
		reason = "the P2P stub no longer has it"
	}
	switch {
	case s.c.State == status.Live:
		s.disconnect(reason)
	case s.c.underWay():
		s.fail(reason, true)
		return
	}
	s.drop(reason)
}

// disconnect is the end of live.
func (s *step) disconnect(reason string) {
	s.c.Phase = idle
	s.to(status.Disconnected, reason)
	s.do(effect{kind: retire, url: s.c.URL}, effect{kind: reroute})
}

// fail ends a set-up. A requester is disposed of, since there is one for each;
// the handler's peer connection when it may still be there.
func (s *step) fail(reason string, alive bool) {
	wasRegistering := s.c.Phase == registering
	s.c.Phase = idle
	s.c.NextAttempt, s.c.retryTold = s.e.at.Add(s.r.limits.retryAfter(s.c.Attempts, s.e.jitter)), false
	if wasRegistering {
		s.do(effect{kind: retire, url: address.P2PConnectionURL(s.r.own, s.c.ID)})
	}
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

// drop lets go of the entry's stub, and has its peer connection closed.
func (s *step) drop(reason string) {
	if s.c.Stub != "" && !(s.c.Role == handler && s.e.kind == gone) {
		s.do(effect{kind: dispose, stub: s.c.Stub, role: s.c.Role, reason: reason})
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
		s.do(effect{kind: retire, url: address.P2PConnectionURL(s.r.own, s.c.ID)})
	}
	s.release(s.e.reason)
	s.c = connection{}
	s.do(effect{kind: forget}, effect{kind: reroute})
}

func (s *step) to(state status.State, reason string) {
	s.c.State = state
	if reason != "" {
		s.c.Reason = reason
	}
	s.c.Transitions = append(s.c.Transitions, transition{state, s.e.at, reason})
	if over := len(s.c.Transitions) - s.r.limits.Transitions; over > 0 {
		s.c.Transitions = s.c.Transitions[over:]
	}
}

func (s *step) do(effects ...effect) { s.effects = append(s.effects, effects...) }

func (s *step) illegal() error {
	return fault.New(fault.Conflict, "%s cannot follow %s (%s)", s.e.state, s.c.State, s.c.Phase)
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
