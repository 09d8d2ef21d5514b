package p2pstub

import (
	"time"

	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// setupPhase is a part of a set-up. Each lasts from the end of the one before it, the
// first from the beginning, so that together they are the whole set-up.
type setupPhase int

const (
	phaseDescription setupPhase = iota // the own description is complete, with host candidates
	phaseInvitation                    // the own object has its address, and the invitation has left
	phaseRemote                        // the other side's description has come and is taken
	phaseICE                           // ICE has found a path
	phaseDTLS                          // DTLS is up
	phaseChannel                       // the data channel is open
	setupPhases
)

func (p setupPhase) String() string {
	return [...]string{"description", "invitation", "remote", "ice", "dtls", "channel"}[p]
}

// phasesOf are those of a role, in their order.
func phasesOf(r role) [setupPhases]setupPhase {
	if r == handler { // it answers what has come
		return [...]setupPhase{phaseRemote, phaseDescription, phaseInvitation, phaseICE, phaseDTLS, phaseChannel}
	}
	return [...]setupPhase{phaseDescription, phaseInvitation, phaseRemote, phaseICE, phaseDTLS, phaseChannel}
}

// laps takes the time of the phases of one set-up. It is pure.
type laps struct {
	role role
	done int       // phases that are over
	last time.Time // end of the last of them; at first the beginning
}

// lap is a phase that is over, and how long it took.
type lap struct {
	phase setupPhase
	took  time.Duration
}

// reach ends a phase. One before it that has not been reported, as callbacks may come
// in another order, has ended with it. A phase that is over is not reached again.
func (l laps) reach(p setupPhase, at time.Time) (laps, []lap) {
	order := phasesOf(l.role)
	until := l.done
	for until < len(order) && order[until] != p {
		until++
	}
	if until == len(order) {
		return l, nil
	}
	var over []lap
	for ; l.done <= until; l.done++ {
		over = append(over, lap{order[l.done], max(at.Sub(l.last), 0)})
		if at.After(l.last) {
			l.last = at
		}
	}
	return l, over
}

// now is the phase that is under way; the last one when all are over.
func (l laps) now() setupPhase {
	order := phasesOf(l.role)
	return order[min(l.done, len(order)-1)]
}

// reached tells what a step of the machine has brought to its end.
func reached(before, after machine) (phases []setupPhase) {
	for _, one := range []struct {
		was, is bool
		phase   setupPhase
	}{
		{before.remote, after.remote, phaseRemote},
		{before.described, after.described, phaseDescription},
		{before.sent, after.sent, phaseInvitation},
		{before.open, after.open, phaseChannel},
	} {
		if one.is && !one.was {
			phases = append(phases, one.phase)
		}
	}
	return phases
}

// reach counts a phase of this peer's set-up that has ended. It runs in the loop.
func (p *peer) reach(phase setupPhase, at time.Time) {
	var over []lap
	p.laps, over = p.laps.reach(phase, at)
	for _, one := range over {
		p.stub.metrics.phaseTime.WithLabelValues(p.role.String(), one.phase.String()).Observe(one.took.Seconds())
		p.log.Debug("phase of the set-up", "phase", one.phase.String(), "took_seconds", one.took.Seconds())
	}
}

// traffic is what has passed the UDP sockets; nothing before Run.
func (s *Stub) traffic() rtc.Traffic {
	select {
	case <-s.ready:
		return s.engine.Traffic()
	default:
		return rtc.Traffic{}
	}
}

// queued are the bytes that wait in all peers for their data channel.
func (s *Stub) queued() (bytes int) {
	for _, c := range s.channels() {
		c.mu.Lock()
		bytes += c.enc.Pending()
		c.mu.Unlock()
	}
	return bytes
}

// buffered are the bytes that were written to data channels and have not left.
func (s *Stub) buffered() (bytes int) {
	for _, c := range s.channels() {
		bytes += c.raw.Buffered()
	}
	return bytes
}

// channels are those of all peers that have one.
func (s *Stub) channels() (open []*channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.all {
		if c := p.out.Load(); c != nil {
			open = append(open, c)
		}
	}
	return open
}
