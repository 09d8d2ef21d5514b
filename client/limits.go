package client

import (
	"time"

	"github.com/peerbus/peerbus/internal/limits"
	"github.com/peerbus/peerbus/protocol/codec"
)

// Limits bound an attachment.
type Limits struct {
	// Outbox is how many bytes of messages may wait for the stream before Send,
	// Post and Request wait too. Default 1 MiB: some tens of full frames.
	Outbox int
	// Retain is how many bytes of posts are kept until they are settled, before Send, Post
	// and Request wait. The posts to one receiver may take up no more of it than is still
	// free. Default 16 MiB, what a bus keeps for a remote runtime: less would hold a sender
	// back before the bus does.
	Retain int
	// Marks is the number of pairs of address and poster of which the last message that was
	// taken is remembered, so that one that comes again is not handled again. Default
	// 65,536, which take about 15 MB: more than are ever interrupted at one time.
	Marks int
	// Window is how many bytes the bus may have under way to a listener whose handler has
	// not returned. Default 512 KiB: it keeps a handler busy over any local stream while
	// credit for a quarter of it is on its way. It is also what a stopped handler costs in
	// memory.
	Window int
	// Calls is how many calls may wait for their outcome. Default 65,536: more would mean
	// that the bus does not answer.
	Calls int
	// Linger is how long the credit for messages may wait: for a frame that leaves anyway,
	// when something was answered while they were handled or they went on in flows; or for
	// the credit of more messages that are being handled. Default 5 ms: the time of some
	// requests one after the other, and half of what an acknowledgement between two buses
	// waits to have more to say. It delays the outcome of a message that is posted with
	// Delivered by as much at most, and by twice as much when the message is answered as
	// well.
	Linger time.Duration
	// Rest is how long a listener's goroutine waits for the next message before it ends; it
	// may be up to twice as long. A later message starts another goroutine. Default 1 s:
	// one is started in less than a microsecond, and keeps some KiB of stack while it
	// waits.
	Rest time.Duration
	// RequestTimeout is the time-out of a Request whose context has no deadline. Default
	// 15 s, what older buses wait. While the bus cannot be reached it may be exceeded by a
	// sixteenth.
	RequestTimeout time.Duration
	// Goodbye is how long the end of Run may take to send what is queued, and to hear the
	// bus end the stream. Default 0.5 s: it takes milliseconds when the bus is there.
	Goodbye time.Duration
}

// DefaultLimits are used for the fields of Limits that are zero.
func DefaultLimits() Limits {
	return Limits{
		Outbox: 1 << 20, Retain: 16 << 20, Marks: 1 << 16, Window: 512 << 10,
		Calls: 1 << 16, Linger: 5 * time.Millisecond, Rest: time.Second, RequestTimeout: 15 * time.Second, Goodbye: time.Second / 2,
	}
}

func (l Limits) orDefaults() Limits { return limits.OrDefaults(l, DefaultLimits()) }

// frameBytes bounds a frame of short messages; of long ones it has more (codec.FrameLimit).
const frameBytes = codec.FrameBytes
