package msgnode

import (
	"strings"
	"time"
)

// Session is a runtime's session with the node (wire contract, section 3), as
// it stands in the store. It is in one of three states:
//
//	          open, re-open              lost, replica gone
//	(none) ───────────────────► attached ─────────────────► lost
//	   ▲                         │  ▲ │                     │ │
//	   │          close          │  │ └── open: moves       │ │
//	   ├─────────────────────────┘  └──── open, re-open ────┘ │
//	   └──────────────────────────── close, kept too long ────┘
//
// The zero value is none.
type Session struct {
	Runtime string `json:"runtime"`
	Token   string `json:"token"`
	// Socket has the session: `<replica>/<number>`. Empty when it is lost.
	Socket string `json:"socket,omitempty"`
	// Flow: the runtime has announced flows with its open or re-open.
	Flow bool `json:"flow,omitempty"`
	// LostAt is when the socket was lost, in milliseconds since 1970.
	LostAt int64 `json:"lostAt,omitempty"`
}

// Address is the session's own address, which contains its secret.
func (s Session) Address() string { return s.Runtime + "/" + s.Token }

// replica is the one that has the session's socket; empty when it is lost.
func (s Session) replica() string {
	replica, _, _ := strings.Cut(s.Socket, "/")
	return replica
}

// event is what happens to a session.
type event struct {
	kind    eventKind
	runtime string
	socket  string    // open, re-open, claim, lost, close: whose
	given   string    // re-open: the token that the client has
	fresh   string    // open, re-open: the token of a new session
	flow    bool      // open, re-open, claim: flows are announced
	replica string    // gone: whose
	now     time.Time // lost, gone, expire
	kept    time.Duration
}

type eventKind int

const (
	evOpen   eventKind = iota // the runtime opens
	evReopen                  // it comes back with a token
	evClaim                   // the socket is there, though the store takes it for lost
	evLost                    // a socket ended
	evGone                    // a replica is gone with its sockets
	evClose                   // the runtime closes
	evExpire                  // time has passed
)

// outcome says what an event did.
type outcome string

const (
	outNothing outcome = "nothing"
	outOpened  outcome = "opened"  // a new session
	outMoved   outcome = "moved"   // the session there was, on this socket
	outKept    outcome = "kept"    // the token was right; everything is kept
	outRenewed outcome = "renewed" // an unknown token: the client must subscribe again
	outLost    outcome = "lost"
	outEnded   outcome = "ended"
	outExpired outcome = "expired"
)

// next gives the session after an event. It changes nothing where the event
// does not concern the session, such as the end of a socket it has left.
func next(s Session, e event) (Session, outcome) {
	switch e.kind {
	case evOpen:
		return opened(s, e, outOpened, outMoved)
	case evReopen:
		if s.Token != "" && s.Token == e.given {
			return opened(s, e, outRenewed, outKept)
		}
		return opened(s, e, outRenewed, outRenewed)
	case evClaim:
		if s.Token != "" && s.Token == e.given && s.Socket == "" {
			return opened(s, e, outNothing, outKept)
		}
	case evLost:
		if s.Socket != "" && s.Socket == e.socket {
			return lost(s, e.now), outLost
		}
	case evGone:
		if s.Socket != "" && s.replica() == e.replica {
			return lost(s, e.now), outLost
		}
	case evClose:
		if s.Token != "" && s.Socket == e.socket {
			return Session{}, outEnded
		}
	case evExpire:
		if s.Token != "" && s.Socket == "" && e.now.Sub(time.UnixMilli(s.LostAt)) >= e.kept {
			return Session{}, outExpired
		}
	}
	return s, outNothing
}

// opened puts a session on a socket, and makes it where there is none.
func opened(s Session, e event, made, found outcome) (Session, outcome) {
	if s.Token == "" {
		return Session{Runtime: e.runtime, Token: e.fresh, Socket: e.socket, Flow: e.flow}, made
	}
	s.Socket, s.LostAt, s.Flow = e.socket, 0, e.flow
	return s, found
}

func lost(s Session, now time.Time) Session {
	s.Socket, s.LostAt = "", now.UnixMilli()
	return s
}
