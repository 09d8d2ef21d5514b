package p2pstub

import (
	"fmt"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/status"
)

// role says which side of a set-up a peer is.
type role int

const (
	requester role = iota + 1 // this runtime starts the connection
	handler                   // it accepts it
)

func (r role) String() string { return [...]string{"none", "requester", "handler"}[r] }

// eventKind is what happened to a peer connection.
type eventKind int

const (
	begin        eventKind = iota // a requester was deployed, a handler was invited
	allocated                     // the own Connection object has its address
	described                     // the own description is complete
	answered                      // the invitation has its response
	invited                       // requester: the handler's invitation has come
	observed                      // the other side's object has changed
	subscribed                    // the other side has subscribed the own object
	channelOpen                   // the data channel is open
	pathDown                      // the path has gone quiet
	pathAnswers                   // it answers, but not for long enough to be used
	pathUp                        // it is back
	iceConnected                  // ICE has found a path
	iceLost                       // ICE has given it up
	restartOver                   // the time for an ICE restart has run out
	succeeded                     // a connection beside this one has taken over
	channelGone                   // the data channel was closed by the other side
	deleted                       // the other side has deleted its object
	broke                         // something that is needed has failed
	overdue                       // the time for the set-up has run out
	closed                        // someone here wants it closed
	displaced                     // another connection takes its place
)

func (k eventKind) String() string {
	return [...]string{
		"begin", "allocated", "described", "answered", "invited", "observed", "subscribed", "channel open",
		"path down", "path answers", "path up", "ICE connected", "ICE lost", "restart over", "succeeded", "channel gone", "deleted", "broke", "overdue", "closed", "displaced",
	}[k]
}

// event is one, with what the machine needs of it.
type event struct {
	kind        eventKind
	code        fault.Code    // answered
	reason      string        // why, for the kinds that end it
	description bool          // begin, invited, observed: the other side's is known
	older       bool          // subscribed: by a peer that has not announced framing
	limit       time.Duration // overdue: the time that it had
	generation  uint32        // observed: that of the other side's description
	wanted      uint32        // observed: the generation that the other side asks for
	hasty       bool          // observed: ICE was begun anew a moment ago; what is wanted is said again
	revives     bool          // channelOpen: the other side restarts ICE
}

// effectKind is what must be done because of an event.
type effectKind int

const (
	publish     effectKind = iota // the state
	accept                        // answer the other side's invitation with 200
	observe                       // follow the other side's object
	allocate                      // get an address for the own object, and listen to it
	offer                         // make the own description
	answer                        // make it out of the other side's
	applyAnswer                   // take the other side's
	invite                        // the other side to the own object
	update                        // send the description again, as an update
	candidates                    // take the other side's candidates
	restart                       // begin ICE anew, and offer it
	ask                           // the other side to do so
	revive                        // answer its offer
	finish                        // close, and forget
)

func (k effectKind) String() string {
	return [...]string{
		"publish", "accept", "observe", "allocate", "offer", "answer", "apply answer", "invite",
		"update description", "take candidates", "restart ICE", "ask for a restart of ICE", "answer the restart", "finish",
	}[k]
}

type effect struct {
	kind   effectKind
	state  status.State // publish
	reason string       // publish
}

func (e effect) String() string {
	s := e.kind.String()
	if e.kind == publish {
		s += " " + e.state.String()
	}
	if e.reason != "" {
		s += ": " + e.reason
	}
	return s
}

// machine is the state of one peer connection (wire contract, sections 7 and 8).
//
//	requester   begin ─► offer, allocate ─► invite ─► 200 ─┐
//	                                                       ├─► invited ─► apply answer ─┐
//	handler     begin (an invitation) ─► accept, observe   │                            ├─► channel open
//	                └─► description ─► answer, allocate ─► invite ──────────────────────┘
//
// The description is in the invitation of a peer of our own. That of an older one
// comes with the answer to the subscription, or as updates after it. What happens to
// the path after that is in restart.go.
type machine struct {
	role      role
	state     status.State
	object    bool // the own object has its address
	described bool // the own description is complete
	sent      bool // the invitation has left
	taken     bool // the other side has answered it with 200
	refused   bool // with 409
	remote    bool // the other side's description has been taken
	open      bool // the data channel has been opened
	retired   bool // another connection has taken over: it says nothing more
	over      bool
	ice       ice
}

// step takes an event, and gives the machine after it and what must be done, in
// this order. What happens after the end changes nothing.
func step(m machine, e event) (machine, []effect) {
	if m.over {
		return m, nil
	}
	t := &turn{machine: m}
	t.take(e)
	return t.machine, t.effects
}

// turn is one step under way.
type turn struct {
	machine
	effects []effect
}

func (t *turn) do(kinds ...effectKind) {
	for _, k := range kinds {
		t.effects = append(t.effects, effect{kind: k})
	}
}

func (t *turn) take(e event) {
	switch e.kind {
	case begin:
		t.begin(e)
	case allocated:
		t.object = true
		t.invite()
	case described:
		t.described = true
		t.invite()
	case answered:
		t.answered(e)
	case invited:
		t.do(accept, observe)
		t.advance(status.InProgress)
		t.learn(e)
	case observed:
		t.learn(e)
	case subscribed:
		if e.older && t.role == handler && t.described {
			t.do(update)
		}
	default:
		t.path(e)
	}
}

// path takes what happens to the path and the channel.
func (t *turn) path(e event) {
	switch e.kind {
	case channelOpen:
		t.open, t.ice.restarts = true, e.revives
		t.advance(status.Live)
	case pathDown, pathAnswers, pathUp, iceConnected, iceLost, restartOver:
		t.health(e)
	case succeeded:
		t.retired = true
	case overdue:
		if !t.open {
			t.end(fmt.Sprintf("the set-up took longer than %v, waiting for %s", e.limit, t.waitsFor()))
		}
	case displaced:
		if t.state == status.Live {
			t.publish(status.Disconnected, e.reason)
		}
		t.over = true
		t.do(finish)
	case channelGone, deleted, broke, closed:
		t.end(e.reason)
	}
}

func (t *turn) begin(e event) {
	t.publish(status.Created, "")
	if t.role == requester {
		t.do(allocate, offer)
		return
	}
	t.do(accept, observe, allocate)
	t.learn(e)
}

// learn takes the other side's description once in each generation, and its
// candidates each time.
func (t *turn) learn(e event) {
	switch {
	case t.remote:
		t.relearn(e)
	case !e.description:
	case t.role == requester:
		t.remote = true
		t.do(applyAnswer, candidates)
	default:
		t.remote = true
		t.do(answer, candidates)
	}
}

// invite sends the invitation once the object has its address and its data.
func (t *turn) invite() {
	if t.sent || !t.object || !t.described {
		return
	}
	t.sent = true
	t.do(invite)
	if t.role == handler {
		t.advance(status.InProgress)
	}
}

// answered takes the response to the invitation. A requester that was refused
// with 409 waits for the other side's own invitation, in whose favour it is (wire
// contract, section 7). One that got no response may still get what it needs.
func (t *turn) answered(e event) {
	switch {
	case e.code < 400:
		t.taken = true
		t.advance(status.InProgress)
	case t.remote && t.role == requester, e.code == fault.Timeout:
	case e.code == fault.Conflict && t.role == requester:
		t.refused = true
	default:
		t.end("the invitation was refused: " + e.reason)
	}
}

// advance publishes a state of the set-up, and those before it.
func (t *turn) advance(to status.State) {
	for t.state < to {
		t.publish(t.state+1, "")
	}
}

func (t *turn) publish(state status.State, reason string) {
	if !state.CanFollow(t.state) {
		return
	}
	t.state = state
	if t.retired {
		return
	}
	t.effects = append(t.effects, effect{publish, state, reason})
}

// end is failed before it was live, disconnected after it.
func (t *turn) end(reason string) {
	if t.state == status.Live {
		t.publish(status.Disconnected, reason)
	} else {
		t.advance(status.Created)
		t.publish(status.Failed, reason)
	}
	t.over = true
	t.do(finish)
}

// waitsFor says what is missing.
func (m machine) waitsFor() string {
	switch {
	case m.role == handler && !m.remote:
		return "the other side's description"
	case !m.object:
		return "an address for the Connection object"
	case !m.described:
		return "its own description"
	case m.remote:
		return "the data channel to open"
	case m.refused:
		return "the other side's invitation, after its refusal of ours"
	case !m.taken:
		return "the answer to the invitation"
	default:
		return "the other side's description"
	}
}
