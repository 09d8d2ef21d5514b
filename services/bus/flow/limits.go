package flow

import (
	"time"

	"github.com/peerbus/peerbus/internal/limits"
)

// Limits bound a flow. Zero values mean the defaults.
type Limits struct {
	// Bytes that a sender keeps until they are dealt with, and that a receiver
	// has handed over and not been told of. 16 MiB: four of the largest
	// messages, or a second of 128 Mbit/s.
	Bytes int
	// First is how many bytes a new flow may have under way, that is sent and
	// not received. 256 KiB: the look-up of a first message takes a round trip,
	// and so does the growth to what a path can take.
	First int
	// UnderWay is the most bytes under way of each kind, but for one message that
	// goes again. 4 MiB: 40 MB/s at 100 ms. What is under way when a path dies is sent
	// again.
	UnderWay int
	// Least is the fewest bytes under way after losses, or on a slow path. 16 KiB:
	// a third of a second at 50 KB/s. One message of any size may always be under
	// way alone of its kind.
	Least int
	// Short is the largest message that is a short one, and how many bytes an
	// address sends in its turn. 16 KiB: a packet of a data channel, and what no
	// way holds up behind longer ones.
	Short int
	// Delay is how long messages may queue on a path: it is about by how much
	// their round trip is longer than the least. 150 ms: hardly felt, and longer
	// than a busy machine takes.
	Delay time.Duration

	// FirstTimeout is how long an acknowledgement is waited for before a round
	// trip has been measured, and before it is asked what became of what has
	// been received. 1 s, as in RFC 6298.
	FirstTimeout time.Duration
	// MinTimeout and MaxTimeout bound what follows from measured round trips and
	// doubles with each time that nothing comes. 200 ms: a busy machine is not a
	// lost message. 5 s: a path that is back is found soon.
	MinTimeout, MaxTimeout time.Duration
	// Rate is what the slowest path takes in a second, in bytes, which makes a
	// timeout longer when much is under way. 1 MiB/s.
	Rate int
	// Pace is what a path that is as good as none takes in a second, in bytes: a
	// long message has so much more time than a short one before it is taken for
	// lost, or given up. 16 KiB/s: a third of what SCTP makes of 100 ms and 2 %
	// loss. The largest message has four minutes.
	Pace int
	// Patience is how long a message may take to be received, and how long a
	// receiver may be silent about what it has. Then it is given up, with 408. A
	// long message has the time besides that it takes at Pace.
	// 75 s: longer than a Message Node keeps what comes for an absent runtime.
	Patience time.Duration
	// Undecided is how long an acknowledgement is waited for from a peer that is
	// not known to know flows; then a message is taken for a plain one. 5 s.
	Undecided time.Duration
	// AbsentTime is how long a peer that knows flows may be unknown to a Message
	// Node (404), as while it moves to another session. 5 s.
	AbsentTime time.Duration

	// Ahead is how many bytes a receiver keeps that have come before their turn.
	// 8 MiB: all that may be under way.
	Ahead int
	// Ranges is how many stretches of sequences a receiver keeps ahead, and how
	// many ranges and refusals an acknowledgement says. 64: about 1 KiB.
	Ranges int
	// AckDelay is how long an acknowledgement waits for more to say. 10 ms: a
	// tenth of a long round trip. One that is urgent waits an eighth of it after
	// the one before.
	AckDelay time.Duration
	// AckBytes is how much is received before an acknowledgement goes at once.
	// 128 KiB: what comes in AckDelay at 13 MB/s, and half of a sender's first window.
	AckBytes int
}

// DefaultLimits are for runtimes anywhere on the Internet.
func DefaultLimits() Limits {
	return Limits{
		Bytes:        16 << 20,
		First:        256 << 10,
		UnderWay:     4 << 20,
		Least:        16 << 10,
		Short:        16 << 10,
		Delay:        150 * time.Millisecond,
		FirstTimeout: time.Second,
		MinTimeout:   200 * time.Millisecond,
		MaxTimeout:   5 * time.Second,
		Rate:         1 << 20,
		Pace:         16 << 10,
		Patience:     75 * time.Second,
		Undecided:    5 * time.Second,
		AbsentTime:   5 * time.Second,
		Ahead:        8 << 20,
		Ranges:       64,
		AckDelay:     10 * time.Millisecond,
		AckBytes:     128 << 10,
	}
}

// OrDefaults fills in what is not set.
func (l Limits) OrDefaults() Limits { return limits.OrDefaults(l, DefaultLimits()) }
