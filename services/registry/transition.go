package registry

import (
	"fmt"
	"slices"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// rules are what the machine knows beside the entry.
type rules struct {
	own    string // URL of this runtime
	wants  Wanted
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
	s.c.setPath(e.at, r.wants)
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
	case observed:
		s.observe()
	case gone:
		s.gone()
	case registered:
		s.becomeLive()
	case refused:
		s.refused()
	case overdue:
		s.overdue()
	case renewed:
		s.renew()
	case postponed:
		s.postpone()
	case expired, closed:
		s.end()
	case unseen:
		s.lookAway()
	}
	return nil
}

// observe takes what the P2P stub says of a connection beside its state.
func (s *step) observe() {
	switch {
	case !s.c.exists() || s.e.stub == "":
	case s.e.stub == s.c.Successor.Stub:
		s.c.Successor.news = s.e.news
	case s.e.stub == s.c.Stub:
		s.observeOwn()
	}
}

func (s *step) observeOwn() {
	before := s.c
	s.c.news = s.e.news
	s.c.Flow = s.c.Flow || s.e.news.flow
	s.c.leads = slices.Contains(s.e.listeners, s.c.URL)
	if s.c.news.worn && !before.news.worn {
		s.c.renewAt = s.e.at
		if s.c.Role == handler {
			s.c.renewAt = s.e.at.Add(s.r.limits.RenewWait) // the other side goes first
		}
	}
	if s.c.Flow != before.Flow || s.c.usable() && s.c.news.doubt != before.news.doubt {
		s.do(effect{kind: reroute})
	}
	if s.c.usable() && before.leads && !s.c.leads { // another peer connection of the stub has it now
		s.do(effect{kind: lead, stub: s.c.Stub, role: s.c.Role, url: s.c.URL})
	}
}

// lookAway keeps messages off a live connection until the P2P stub says that it is
// still up: where nobody takes them, they would wait in vain.
func (s *step) lookAway() {
	if !s.c.usable() {
		return
	}
	s.c.Phase, s.c.heard, s.c.news.doubt = unconfirmed, heard{}, false
	if n := &s.c.Successor; n.registering {
		s.c.epoch++ // what the stub takes now may be forgotten with it
		s.do(effect{kind: retire, url: s.c.pending, beside: true})
		n.registering, n.heard = false, heard{}
	}
	s.do(effect{kind: reroute})
}

// want starts a set-up, unless there is a connection, one under way, or a stub
// that is bringing it back.
func (s *step) want() {
	if s.c.underWay() || s.c.Phase == restarting || s.c.State == status.Live {
		return
	}
	if s.c.Role == handler {
		s.c.Stub = "" // the new stub displaces it; closing it could hit what the other side has begun meanwhile
	} else {
		s.drop("a new set-up takes its place")
	}
	s.begin(requester)
	s.c.Handler = s.e.handler
	if s.e.entity != "" {
		s.c.For = s.e.entity
	}
	s.do(effect{kind: deploy, stub: s.c.Stub, replica: s.c.Replica, role: requester})
}

// begin makes the event's stub the entry's, with a set-up under way.
func (s *step) begin(role pb.ConnectionRole) {
	if !s.c.exists() {
		s.c.ID, s.c.Remote = s.e.id, s.e.remote
	}
	s.dropSuccessor("a new set-up takes its place")
	s.c.Role, s.c.Stub, s.c.Replica, s.c.heard, s.c.news = role, s.e.stub, s.e.replica, heard{}, news{}
	s.c.Resting, s.c.leads = false, false
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
		if s.e.stub == s.c.Successor.Stub {
			s.reportOfSuccessor()
			return nil
		}
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
	case s.e.state == status.Live && s.c.usable():
		s.succeed()
		return nil
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
		s.down(s.e.reason)
	case s.c.Phase == registering:
		s.fail("lost while it was being registered: "+s.e.reason, true)
	case s.c.State == status.Disconnected && (s.c.Phase == idle || s.c.Phase == restarting):
	default:
		return s.illegal()
	}
	return nil
}

// register begins steps 1 to 3 of section 9. The address has the id of the entry,
// and stays the same when the connection comes back; only a successor has another.
func (s *step) register() {
	s.c.pending, s.c.beside = s.c.URL, false
	if s.c.pending == "" {
		s.c.pending = address.P2PConnectionURL(s.r.own, s.c.ID)
	}
	s.c.Phase, s.c.deadline = registering, s.e.at.Add(s.r.limits.Setup)
	s.c.epoch++
	s.do(effect{kind: register, stub: s.c.Stub, role: s.c.Role, epoch: s.c.epoch, url: s.c.pending})
}

// becomeLive is step 4, and what follows it.
func (s *step) becomeLive() {
	switch {
	case s.e.epoch != s.c.epoch:
		return
	case s.c.Successor.registering:
		s.promote()
		return
	case s.c.Phase != registering:
		return
	}
	s.c.Phase = idle
	s.c.URL = s.c.pending
	s.c.Attempts, s.c.NextAttempt, s.c.Reason, s.c.Resting = 0, time.Time{}, "", false
	if s.c.State != status.Live {
		s.to(status.Live, "")
	}
	s.do(effect{kind: reroute})
	if s.c.beside {
		s.do(effect{kind: swap, url: s.c.URL})
	}
	s.do(effect{kind: learn, stub: s.c.Stub, role: s.c.Role})
	if s.c.Successor.live() {
		s.registerSuccessor() // it was live before what it is to follow
	}
}

// refused is the end of a registration that the stub did not take.
func (s *step) refused() {
	switch {
	case s.e.epoch != s.c.epoch:
	case s.c.Successor.registering:
		s.giveUpSuccessor(s.e.reason)
	case s.c.Phase == registering:
		s.fail(s.e.reason, true)
	}
}

// overdue ends what has taken too long.
func (s *step) overdue() {
	if s.c.Successor.Stub != "" && !s.e.at.Before(s.c.Successor.deadline) {
		s.giveUpSuccessor(fmt.Sprintf("the set-up took longer than %v", s.r.limits.Setup))
	}
	switch {
	case s.e.at.Before(s.c.deadline):
	case s.c.Phase == restarting:
		s.c.Phase = idle
		s.retryLater()
		s.do(effect{kind: reroute})
	case s.c.underWay():
		s.fail(fmt.Sprintf("the set-up took longer than %v", s.r.limits.Setup), true)
	}
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
