package nodestub

import "github.com/peerbus/peerbus/internal/fault"

// phase is where a session stands; the package comment has the picture.
type phase int

const (
	waiting    phase = iota // no connection; the next attempt has its time
	connecting              // the node is being looked up and dialed
	opening                 // `open` or `re-open` is sent
	live                    // messages go both ways
	closing                 // `close` is sent
	closed                  // over
)

func (p phase) String() string {
	return [...]string{"waiting", "connecting", "opening", "live", "closing", "closed"}[p]
}

// state is a session as the machine sees it. The zero value is one before its
// start.
type state struct {
	phase    phase
	token    string     // of the session that the node keeps for us
	endpoint string     // where the node was last connected
	reason   string     // why it is not live
	wasLive  bool       // since the start
	refusing fault.Code // what messages are refused with; 0 when they wait
}

// event is what happens to a session.
type event interface{ event() }

type (
	// started begins.
	started struct{}
	// connected: there is a connection to the endpoint.
	connected struct{ endpoint string }
	// opened is the final answer to `open` or `re-open`.
	opened struct {
		code   fault.Code
		token  string
		reason string
	}
	// lost: the connection broke, or could not be made.
	lost struct {
		reason   string
		stopping bool // the node had said so: another one takes over, or it is back soon
	}
	// unknown: there is no such domain.
	unknown struct{ reason string }
	// elapsed: the time of the phase is over.
	elapsed struct{}
	// overdue: the session has not been live for Limits.QueueTime.
	overdue struct{}
	// closeAsked: the stub is to be closed.
	closeAsked struct{}
)

func (started) event()    {}
func (connected) event()  {}
func (opened) event()     {}
func (lost) event()       {}
func (unknown) event()    {}
func (elapsed) event()    {}
func (overdue) event()    {}
func (closeAsked) event() {}

// effect is what the session does in answer, in the order given.
type effect int

const (
	connect        effect = iota // look the node up and dial it
	sayOpen                      // `re-open` with a token, else `open`
	sayClose                     // `close`
	disconnect                   // end the connection, if there is one
	avoid                        // try other endpoints before this one
	release                      // let the queue out
	hold                         // keep messages in the queue
	refuse                       // refuse the queue and what comes
	reportRenewed                // the session knows no subscription of ours
	startTimer                   // the one of the phase
	startCountdown               // to overdue
	stopCountdown
)

func (e effect) String() string {
	return [...]string{
		"connect", "say open", "say close", "disconnect", "avoid the endpoint", "release", "hold", "refuse",
		"report renewed", "start timer", "start countdown", "stop countdown",
	}[e]
}

// step says what an event does to a session (wire contract, section 3). An
// event that has no meaning in a phase changes nothing.
func step(s state, e event) (state, []effect) {
	if s.phase == closed {
		return s, nil
	}
	switch e := e.(type) {
	case started:
		s.phase = connecting
		return s, []effect{startCountdown, connect}
	case connected:
		return s.connected(e)
	case opened:
		return s.opened(e)
	case lost:
		return s.lost(e.reason)
	case unknown:
		return s.unknown(e.reason)
	case elapsed:
		return s.elapsed()
	case overdue:
		return s.overdue()
	case closeAsked:
		return s.close()
	}
	return s, nil
}

func (s state) connected(e connected) (state, []effect) {
	if s.phase != connecting {
		return s, nil
	}
	s.phase, s.endpoint = opening, e.endpoint
	return s, []effect{sayOpen, startTimer}
}

func (s state) opened(e opened) (state, []effect) {
	if s.phase != opening {
		return s, nil
	}
	if e.code >= 400 {
		return s.notOpened(e)
	}
	// Without a token in the answer the session is the one we asked for.
	renewed := s.token == "" || e.token != "" && e.token != s.token
	if e.token != "" {
		s.token = e.token
	}
	s.phase, s.reason, s.wasLive, s.refusing = live, "", true, 0
	effects := []effect{stopCountdown, release}
	if renewed {
		effects = append(effects, reportRenewed)
	}
	return s, effects
}

// notOpened tries again, after a refusal that means the token with a new
// session.
func (s state) notOpened(e opened) (state, []effect) {
	if e.code < 500 && e.code != fault.TooMany && e.code != fault.Timeout {
		s.token = ""
	}
	s.phase, s.reason = waiting, e.reason
	return s, []effect{disconnect, avoid, startTimer}
}

func (s state) lost(reason string) (state, []effect) {
	was := s.phase
	switch was {
	case waiting:
		return s, nil
	case closing:
		s.phase = closed
		return s, []effect{disconnect}
	}
	s.phase, s.reason = waiting, reason
	effects := []effect{disconnect, startTimer}
	if was != connecting {
		effects = []effect{disconnect, avoid, startTimer}
	}
	if was == live {
		return s, append([]effect{hold, startCountdown}, effects...)
	}
	if s.refusing == fault.NotFound { // there is such a domain after all
		s.refusing = fault.Unavailable
		return s, append([]effect{refuse}, effects...)
	}
	return s, effects
}

func (s state) unknown(reason string) (state, []effect) {
	if s.phase != connecting {
		return s, nil
	}
	s.phase, s.reason, s.refusing = waiting, reason, fault.NotFound
	return s, []effect{refuse, disconnect, startTimer}
}

func (s state) elapsed() (state, []effect) {
	switch s.phase {
	case waiting:
		s.phase = connecting
		return s, []effect{connect}
	case opening:
		return s.lost("the node did not answer " + s.request())
	case closing:
		s.phase = closed
		return s, []effect{disconnect}
	}
	return s, nil
}

func (s state) overdue() (state, []effect) {
	if s.phase == live || s.phase == closing || s.refusing != 0 {
		return s, nil
	}
	s.refusing = fault.Unavailable
	return s, []effect{refuse}
}

func (s state) close() (state, []effect) {
	was := s.phase
	if was == closing {
		return s, nil
	}
	s.reason, s.refusing = "the stub is closed", fault.Unavailable
	if was == live {
		s.phase = closing
		return s, []effect{refuse, sayClose, startTimer}
	}
	s.phase = closed
	return s, []effect{refuse, disconnect}
}

// request is the type of the message that opens the session.
func (s state) request() string {
	if s.token != "" {
		return "re-open"
	}
	return "open"
}

// name is the state as Watch tells it: connecting, live, disconnected, failed.
func (s state) name() string {
	switch {
	case s.phase == live:
		return "live"
	case s.phase == closing || s.phase == closed:
		return "disconnected"
	case s.refusing != 0:
		return "failed"
	case s.wasLive:
		return "disconnected"
	}
	return "connecting"
}
