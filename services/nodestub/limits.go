package nodestub

import (
	"time"

	"github.com/peerbus/peerbus/internal/limits"
	"github.com/peerbus/peerbus/protocol/message"
)

// Limits bound a Stub. A field that is zero takes its default.
type Limits struct {
	// Domains is how many Message Nodes may be talked to. Each costs a
	// connection and a queue; addresses in messages make them, so a sender
	// could make any number. Default 256.
	Domains int

	// Endpoints is how many replicas of one Message Node are known. Default 64:
	// more are no help to one runtime, and each that is down costs an attempt.
	Endpoints int

	// QueueMessages and QueueBytes bound what waits for one node. Default 1024
	// messages and 8 MiB: two of the largest messages. While the session is up
	// a full queue holds its senders back; while it is not, 429.
	QueueMessages int
	QueueBytes    int
	// QueueTime is how long messages wait for a session that is not up; then
	// the queue, and what comes after it, is refused. Default 10 s: less than
	// the 15 s of a request, so that its sender learns why.
	QueueTime time.Duration

	// ConnectTimeout bounds the look-up of a descriptor, and each attempt to
	// connect. Default 5 s, within QueueTime. After a session was lost the first
	// attempt has ConnectFirst, and each one more twice the time: a network that
	// comes back is not noticed by an attempt that began before. Default 1 s.
	ConnectTimeout time.Duration
	ConnectFirst   time.Duration
	// OpenTimeout bounds the wait for the answer to `open`. Default 5 s.
	OpenTimeout time.Duration
	// SendTimeout bounds the wait for a node that takes nothing. Default 10 s;
	// then the connection is given up.
	SendTimeout time.Duration
	// CloseTimeout bounds the wait for a node to take `close`, and for the bus
	// to take the refusals of a queue. Default 2 s.
	CloseTimeout time.Duration
	// DrainTimeout bounds sending what is queued when the process stops. Default
	// 2 s.
	DrainTimeout time.Duration
	// PingTime is how often a WebSocket is checked, and PingTimeout how long
	// its answer may take. Default 3 s and 3 s: a node that is cut off is given up
	// after about 5 s, by the ping or by the kernel (internal/rpc).
	PingTime    time.Duration
	PingTimeout time.Duration

	// RetryMin and RetryMax bound the wait between two attempts, which doubles
	// and has jitter. Default 50 ms and 5 s. For RetrySoon after a session was lost
	// it is at most RetryQuick: a node that is restarted is found at once. Default
	// 2 min and 500 ms.
	RetryMin   time.Duration
	RetryMax   time.Duration
	RetrySoon  time.Duration
	RetryQuick time.Duration
	// Settled is how long a session must have been live for the next wait to
	// start at RetryMin again: a node that accepts and breaks is not hammered.
	// Default 5 s.
	Settled time.Duration

	// Descriptor is the largest well-known descriptor in bytes. Default 64 KiB;
	// they have about one.
	Descriptor int
	// Frame is the largest WebSocket frame taken, in bytes. Default 6 MiB: the
	// largest message with its resource in base64.
	Frame int

	// Watchers is how many Watch streams there may be. Default 64; a runtime's
	// registry needs one, a console another.
	Watchers int
	// WatchQueue is how many changes may wait for one watcher before it is cut;
	// it comes back for a snapshot. Default 256.
	WatchQueue int
}

// DefaultLimits are the defaults of all fields.
func DefaultLimits() Limits {
	return Limits{
		Domains:        256,
		Endpoints:      64,
		QueueMessages:  1024,
		QueueBytes:     2 * message.MaxSize,
		QueueTime:      10 * time.Second,
		ConnectTimeout: 5 * time.Second,
		ConnectFirst:   time.Second,
		OpenTimeout:    5 * time.Second,
		SendTimeout:    10 * time.Second,
		CloseTimeout:   2 * time.Second,
		DrainTimeout:   2 * time.Second,
		PingTime:       3 * time.Second,
		PingTimeout:    3 * time.Second,
		RetryMin:       50 * time.Millisecond,
		RetryMax:       5 * time.Second,
		RetrySoon:      2 * time.Minute,
		RetryQuick:     500 * time.Millisecond,
		Settled:        5 * time.Second,
		Descriptor:     64 << 10,
		Frame:          6 << 20,
		Watchers:       64,
		WatchQueue:     256,
	}
}

func (l Limits) orDefaults() Limits { return limits.OrDefaults(l, DefaultLimits()) }
