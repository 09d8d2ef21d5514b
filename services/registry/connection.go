package registry

import (
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

const (
	requester = pb.ConnectionRole_CONNECTION_ROLE_REQUESTER
	handler   = pb.ConnectionRole_CONNECTION_ROLE_HANDLER
)

// phase is what goes on in an entry beside its state.
type phase int

const (
	idle        phase = iota // nothing is under way
	settingUp                // a stub works at the connection
	registering              // the data channel is open; steps 1 to 3 of section 9 run
	unconfirmed              // was live; the P2P stub has not said yet that it still is
	restarting               // was live; its stub is bringing it back itself
)

func (p phase) String() string {
	return [...]string{"idle", "setting up", "registering", "unconfirmed", "restarting"}[p]
}

// connection is an entry of the p2pConnection table: what this runtime has with
// one remote runtime. The zero value is no entry.
//
//	              reported created            reported live           registered
//	wanted ─► created ─────────► in-progress ───────────► (registering) ────► live
//	             │ failed, gone, overdue │                                   │  ▲
//	             ▼                       ▼                      disconnected │  │ registered
//	           failed ◄──────────────────┘                                   ▼  │
//	             │ wanted, handler's created: created again           disconnected
//	             ▼ expired, closed                                           │
//	           (gone) ◄──────────────────────────────────────────────────────┘
//
// States are those of the wire contract, section 8. An entry that failed is over:
// what comes after it is a new set-up in its place, which keeps the history. An
// entry that is disconnected stays so while a stub sets the connection up anew.
//
// What is lost comes back by itself. First its stub has a while for it (ICE
// restart); then, and when the stub is gone, a new set-up is tried at NextAttempt,
// with a backoff, and so many times; a message may start one after that. What the
// other side has closed rests until it, or a message, wants it again.
//
// A live connection that is worn, or beside which another one becomes live, has a
// successor: it stays until that one has an address of its own.
type connection struct {
	ID          string            `json:"id"`
	Remote      string            `json:"remote"`
	Role        pb.ConnectionRole `json:"role"`
	State       status.State      `json:"state"`
	Phase       phase             `json:"phase"`
	Stub        string            `json:"stub"`    // empty when its peer connection is gone
	Replica     string            `json:"replica"` // of p2pstub, which has that; empty when there is but one
	Handler     string            `json:"handler"` // the remote runtime's, where it is known
	URL         string            `json:"url"`     // the p2p connection's; empty before it is live
	Reason      string            `json:"reason"`
	Transitions []transition      `json:"transitions"`
	Attempts    int               `json:"attempts"`    // set-ups since it was last live
	NextAttempt time.Time         `json:"nextAttempt"` // none is made before it
	Flaps       int               `json:"flaps"`       // how many times in a row it was live for a moment only
	Resting     bool              `json:"resting"`     // only a message brings it back
	For         string            `json:"for"`         // the address it was last wanted for: its entry names the handler
	Flow        bool              `json:"flow"`        // the remote runtime has announced flows
	Successor   successor         `json:"successor"`   // the connection that will take its place
	Path        path              `json:"path"`

	news     news      // what the P2P stub says of it
	leads    bool      // the stub has said that URL leads over it
	renewAt  time.Time // when it may be replaced, since it is worn
	pending  string    // the URL that is being registered
	beside   bool      // that is done while the one before it is still there
	deadline time.Time // of what is under way
	epoch    int       // number of the registration, so that an older one's result is not taken for it
	heard    heard     // of Stub

	retryTold bool // buses have been told that another attempt may be made
}

// successor is the connection that will take the place of one that is live. The
// zero value is none.
type successor struct {
	Stub    string            `json:"stub"`
	Role    pb.ConnectionRole `json:"role"`
	Replica string            `json:"replica"`

	registering bool // its data channel is open
	deadline    time.Time
	news        news
	heard       heard
}

// live tells whether its stub has said so.
func (n *successor) live() bool { return n.heard.says(status.Live) }

// news is what the P2P stub says of a peer connection beside its state.
type news struct {
	doubt      bool // heartbeats are missing
	worn       bool // it should be replaced
	flow       bool // the other side has announced flows
	roundTrip  time.Duration
	generation uint32 // of ICE
	object     string // the other side's Connection object
}

// hasObject tells whether an address is of the other side's Connection object.
func (c *connection) hasObject(addr string) bool {
	for _, object := range []string{c.news.object, c.Successor.news.object} {
		if object != "" && address.Within(addr, object) {
			return true
		}
	}
	return false
}

type transition struct {
	State  status.State `json:"state"`
	Time   time.Time    `json:"time"`
	Reason string       `json:"reason,omitempty"`
}

func (c *connection) exists() bool { return c.State != status.None }

// usable tells whether messages may go over it: live, and the stub has its
// address.
func (c *connection) usable() bool { return c.State == status.Live && c.Phase == idle }

// underWay tells whether a set-up is.
func (c *connection) underWay() bool { return c.Phase == settingUp || c.Phase == registering }

// eventKind is what happened to an entry.
type eventKind int

const (
	wanted     eventKind = iota // messages for the runtime want a connection
	reported                    // a stub published its status
	gone                        // the P2P stub has forgotten the peer connection
	registered                  // steps 1 to 3 of section 9 are done
	refused                     // the stub did not take the p2p connection's address
	overdue                     // the deadline is past
	expired                     // it has been without connection for too long
	closed                      // someone wants it closed
	unseen                      // the P2P stub cannot be seen any more
	observed                    // the P2P stub has news of it beside its state
	renewed                     // it is worn: another one shall take its place
	postponed                   // an attempt was due and could not be made
)

func (k eventKind) String() string {
	return [...]string{
		"wanted", "reported", "gone", "registered", "refused", "overdue", "expired", "closed", "unseen", "observed",
		"renewed", "postponed",
	}[k]
}

// event is one, with what it needs. Everything random or timed is in it.
type event struct {
	kind    eventKind
	at      time.Time
	remote  string
	stub    string            // which one it is about; for wanted and renewed: the new requester
	role    pb.ConnectionRole // of that stub
	replica string            // of p2pstub, which has that stub
	handler string            // wanted, renewed: the remote runtime's handler stub
	entity  string            // wanted: the address that it is wanted for; may be empty
	news    news              // observed
	// listeners are the addresses that lead over the peer connection: observed.
	listeners []string
	state     status.State // reported
	channel   channel      // reported: how it came
	reason    string
	lost      bool    // gone: with its replica of p2pstub
	epoch     int     // registered, refused
	id        string  // for an entry that it makes
	jitter    float64 // 0 to 1, for the wait before another attempt
}

func (e event) String() string {
	s := e.kind.String()
	if e.kind == reported {
		s += " " + e.state.String()
	}
	if e.stub != "" {
		s += " by " + e.stub
	}
	if e.reason != "" {
		s += ": " + e.reason
	}
	return s
}

// effectKind is what must be done because of an event.
type effectKind int

const (
	deploy   effectKind = iota // deploy the requester stub, and subscribe its address
	dispose                    // close the stub's peer connection, and a requester with it
	register                   // do steps 1 to 3 of section 9
	retire                     // take the p2p connection's listeners away
	learn                      // do step 5 of section 9
	lead                       // subscribe the p2p connection's URL at the stub again
	swap                       // the link that was made beside the one that is there takes its place
	reroute                    // tell the buses
	forget                     // remove it from the store
)

func (k effectKind) String() string {
	return [...]string{"deploy", "dispose", "register", "retire", "learn", "lead", "swap", "reroute", "forget"}[k]
}

type effect struct {
	kind    effectKind
	stub    string
	replica string // deploy, dispose
	role    pb.ConnectionRole
	url     string
	epoch   int
	reason  string
	beside  bool // deploy, register, retire: the connection that is there stays; dispose: when it is drained
}

func (e effect) String() string {
	s := e.kind.String()
	if e.beside {
		s += " beside"
	}
	for _, part := range []string{e.stub, e.url} {
		if part != "" {
			s += " " + part
		}
	}
	return s
}
