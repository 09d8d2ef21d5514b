package bus

import (
	"time"

	"github.com/peerbus/peerbus/internal/limits"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// Limits bound a bus. A field that is zero takes its default.
type Limits struct {
	// Streams is how many Attach and Listen streams there may be, those of other
	// replicas aside. Default 4,096: a runtime's own parts are four, the rest are
	// applications.
	Streams int
	// StreamListeners is how many listeners one stream may have. Default
	// 65,536: a gateway stands for many devices; each costs some 300 bytes.
	StreamListeners int
	// Listeners is how many there may be in all. Default 262,144.
	Listeners int

	// Window is how many bytes may be under way to a listener that names no
	// window. Default 256 KiB, half of what our own client names.
	Window int
	// MaxWindow is the largest window a listener may name, in bytes. Default
	// 16 MiB; a larger one counts as this.
	MaxWindow int
	// QueueBytes and QueueMessages bound what waits for one listener while its
	// window is used up. Default 1 MiB and 4,096; one message of any size always
	// fits into an empty queue, and what the bus says itself into any, up to StreamBytes.
	QueueBytes    int
	QueueMessages int
	// StreamBytes bounds the queues of all listeners of a stream together.
	// Default 64 MiB; what is over it is refused at once.
	StreamBytes int
	// FullTime is how long a post may wait for room in a listener's queue.
	// Default 5 s: shorter than a request's time, longer than a pause of a
	// garbage collector or a slow disk.
	FullTime time.Duration
	// HeldBytes is how many bytes of a stream's posts may wait for room in the queues of
	// listeners, together with the outcomes that the stream does not take, before nothing
	// more is read from it. Default 1 MiB, the outbox of the client.
	HeldBytes int
	// Calls is how many unary posts may be under way. Default 4,096.
	Calls int

	// Routes is how many routes are kept. Default 65,536; the one not used
	// lately goes first.
	Routes int
	// Sources is how many approved sources are kept. Default 65,536.
	Sources int
	// WaitAddresses is the number of addresses, and the number of sources, for which
	// messages may wait: for the registry, or for a stub. Default 4,096. A quarter of it,
	// and of WaitTotal, is for addresses of this runtime where nobody listens while the bus
	// is young; what exceeds that is refused at once.
	WaitAddresses int
	// WaitMessages and WaitBytes bound what waits for one of them. Default 65,536
	// and 32 MiB: a client that begins to send fast is held back by what it may
	// have unsettled itself, before it is refused here. What came in a flow, from another
	// replica, or from a listener that was cut off is bounded there, and does not count.
	WaitMessages int
	WaitBytes    int
	// WaitTotal bounds all that waits for routes, and all that waits for
	// sources, in bytes. Default 64 MiB each.
	WaitTotal int
	// WaitTime is how long a message waits like that. Default 5 s: a restart of the
	// registry or of a stub takes less, and the sender of a request is told in time.
	WaitTime time.Duration
	// LongWaitTime is the same for a message that was accepted elsewhere: it came in a
	// flow, or had been posted to a bus that is gone. Default 60 s: it is refused when
	// nothing else can be done. AskAgain is how long until a registry that could not answer
	// is asked again. Default 250 ms.
	LongWaitTime, AskAgain time.Duration
	// Questions is how many questions to the registry may be open. Default
	// 16,384: twice what can wait, for those that only ask again.
	Questions int

	// ReturnTime is how long a listener whose stream was cut off may take to come
	// back before what waits for it is refused; likewise all listeners when the bus
	// has been started, or another replica was lost. Default 10 s: twice the longest
	// wait of a client.
	ReturnTime time.Duration
	// QuietTime is how long, within ReturnTime, no listener may come back before what waits
	// for one is refused, if its sender was promised nothing. Default 3 s: clients try each
	// second, and of 400 the last needs half of it.
	QuietTime time.Duration
	// Origins is how many clients with numbered posts are known, and OriginTime how long a
	// client is known that has no stream. Defaults 65,536 and 1 min.
	Origins    int
	OriginTime time.Duration
	// Refusals is how many refused posts of a client are remembered, to be told again when
	// it asks. Default 256: as many as may be lost with a stream.
	Refusals int

	// Flow bounds each flow from or to another runtime.
	Flow flow.Limits
	// Flows is how many there may be of each kind. Default 16,384; past it, and
	// for messages between runtimes that know none, there are plain messages.
	Flows int
	// StallTime is how long the p2pstub may give no credit for what it was sent of a flow,
	// as when it hangs, before that goes over the Message Node as well; it may take twice
	// as long to be seen. Default 1 s: a busy machine takes less, and one that waits for a
	// slow path gives some four times as often (p2pstub.Limits.Sign). Where it does not, the
	// price is a copy of the messages, or on a slow path several.
	StallTime time.Duration
	// RemoteFlows is how many of those from others may be of one runtime. Default
	// 1,024: one, and one for each address that is being looked up.
	RemoteFlows int
	// FlowBytes bounds what has come in all flows and has not been dealt with, in bytes.
	// Default 256 MiB; what exceeds it is dropped, and sent again by its bus.
	FlowBytes int
	// RemoteReplicas is from how many replicas of a remote runtime's bus there may be
	// flows. Default 64, more than a runtime has; the one that has been silent for longest
	// goes first.
	RemoteReplicas int
	// Marks is the number of pairs of sender and receiver in other runtimes of which the
	// last number that came is known (Message.number). Default 65,536.
	Marks int

	// JoinTime is how long a replica waits for the others: to tell it what they have
	// before it takes clients, to be told of a new listener before its client is, and
	// to be known as a member. Default 3 s: they answer in milliseconds, and one that
	// does not is not waited for.
	JoinTime time.Duration
	// AnswerTime is how long a new listener waits for another replica that answers nothing,
	// since it is paused or cannot be reached. Default 1 s.
	AnswerTime time.Duration
	// DrainTime is how long a replica that is told to stop takes to hand over what it
	// keeps. Default 5 s.
	DrainTime time.Duration
	// ReplicaBytes bounds the queues of all listeners at another replica together.
	// Default 256 MiB; what is over it is refused at once.
	ReplicaBytes int
	// PassBytes bounds what waits to be passed on to another replica, of flows. Default
	// 8 MiB; past it what comes is dropped, and sent again by its flow.
	PassBytes int

	// ResponseBytes bounds the responses that are kept for clients that are away, and those
	// that have been given and are kept in case a client has not got them. Default 16 MiB
	// each; beyond that they are not kept, and of the latter the oldest goes first.
	// GivenTime is how long these are kept. Default 30 s: twice the time of a request that
	// names none.
	ResponseBytes int
	GivenTime     time.Duration

	// Traced is how many requests that are in a trace and not answered yet are known, so
	// that their answers are in it as well. Default 4,096, of at most tracedBytes each; the
	// least recently used goes first.
	Traced int

	// Requests is how many requests may wait for their response. Default
	// 65,536.
	Requests int
	// RequestTime is the time of a request that names none. Default 15 s, what
	// older buses wait.
	RequestTime time.Duration
	// MaxRequestTime is the longest time a request may name. Default 10 min,
	// the longest that a unary call may name; a longer one counts as this.
	MaxRequestTime time.Duration
}

// DefaultLimits are the defaults of all fields.
func DefaultLimits() Limits {
	return Limits{
		Streams:         4096,
		StreamListeners: 65_536,
		Listeners:       262_144,
		Window:          256 << 10,
		MaxWindow:       16 << 20,
		QueueBytes:      1 << 20,
		QueueMessages:   4096,
		StreamBytes:     64 << 20,
		FullTime:        5 * time.Second,
		HeldBytes:       1 << 20,
		Calls:           4096,
		Routes:          65_536,
		Sources:         65_536,
		WaitAddresses:   4096,
		WaitMessages:    65_536,
		WaitBytes:       32 << 20,
		WaitTotal:       64 << 20,
		WaitTime:        5 * time.Second,
		LongWaitTime:    time.Minute,
		AskAgain:        250 * time.Millisecond,
		Questions:       16_384,
		ReturnTime:      10 * time.Second,
		QuietTime:       3 * time.Second,
		Origins:         65_536,
		OriginTime:      time.Minute,
		Refusals:        256,
		Flow:            flow.DefaultLimits(),
		Flows:           16_384,
		StallTime:       time.Second,
		RemoteFlows:     1024,
		RemoteReplicas:  64,
		FlowBytes:       256 << 20,
		Marks:           65_536,
		JoinTime:        3 * time.Second,
		AnswerTime:      time.Second,
		DrainTime:       5 * time.Second,
		ReplicaBytes:    256 << 20,
		PassBytes:       8 << 20,
		ResponseBytes:   16 << 20,
		GivenTime:       30 * time.Second,
		Traced:          4096,
		Requests:        65_536,
		RequestTime:     15 * time.Second,
		MaxRequestTime:  message.MaxTimeout,
	}
}

func (l Limits) orDefaults() Limits {
	l.Flow = l.Flow.OrDefaults()
	return limits.OrDefaults(l, DefaultLimits())
}

// frameBytes bounds a frame of short messages; of long ones it has more (codec.FrameLimit).
const frameBytes = codec.FrameBytes

// overhead is what a waiting message costs besides its encoded bytes, so that
// tiny ones are bounded too.
const overhead = 256
