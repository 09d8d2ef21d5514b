package gateway

import (
	"time"

	"github.com/peerbus/peerbus/internal/limits"
	"github.com/peerbus/peerbus/protocol/message"
)

// Limits bound a gateway.
type Limits struct {
	// Body is how many bytes a request may have. Default: the largest message, a
	// third more for its content in base64, and 64 KiB around it.
	Body int64
	// Bodies is how many bytes the bodies of all requests under way may have together, not
	// counting the first 64 KiB of each. Default 256 MiB: 45 of the largest.
	Bodies int64
	// Call is the time-out of a call that names none. Default 15 s, as long as a request
	// over the bus.
	Call time.Duration
	// Subscriptions is how many streams of messages there may be, including those that wait
	// for their client to come back; of these the one that has waited longest makes room
	// for a new one. Default 256: each is a stream of the one connection to the bus, which
	// bears 1024.
	Subscriptions int
	// Addresses is how many addresses one of them, or a WebSocket, may listen to.
	// Default 64.
	Addresses int
	// Resume is how long a subscription waits for its client to come back. Default
	// 60 s, as long as a Message Node keeps the messages of a lost session.
	Resume time.Duration
	// Replay is how many bytes of written events are kept for one that comes back.
	// Default 2 MiB: what the buffers of a connection may have swallowed.
	Replay int
	// ReplayEvents is how many. Default 16,384.
	ReplayEvents int
	// Heartbeat is how long a stream may be silent, so that nothing on the way cuts it, and
	// a dead client is noticed. Default 15 s.
	Heartbeat time.Duration
	// Write is how long a client may take nothing at all. Default 30 s.
	Write time.Duration
	// Upload is how long the body of a request may take to come. Default 5 min: the
	// largest one at 20 kB/s.
	Upload time.Duration
	// Goodbye is how long a WebSocket's client may take to answer that the gateway
	// stops. Default 0.3 s, as long as the HTTP server gives other requests.
	Goodbye time.Duration
	// Sockets is how many WebSockets there may be. Default 256, with Subscriptions and
	// Waiting below what the connection to the bus bears.
	Sockets int
	// Waiting is how many posts may wait for their outcome that are calls of their own:
	// those of POST /v1/messages, and those of a WebSocket that have a key. Default 256.
	Waiting int
	// Posts is how many posts of one WebSocket may be under way; then it is not read
	// from. Default 64.
	Posts int
	// Feeds is how many feeds of connections there may be. Default 64.
	Feeds int
}

// DefaultLimits are used for the fields of Limits that are zero.
func DefaultLimits() Limits {
	return Limits{
		Body:          message.MaxSize + message.MaxSize/3 + 64<<10,
		Bodies:        256 << 20,
		Call:          15 * time.Second,
		Subscriptions: 256, Addresses: 64, Resume: time.Minute,
		Replay: 2 << 20, ReplayEvents: 16 << 10,
		Heartbeat: 15 * time.Second, Write: 30 * time.Second,
		Upload: 5 * time.Minute, Goodbye: 300 * time.Millisecond,
		Sockets: 256, Waiting: 256, Posts: 64, Feeds: 64,
	}
}

func (l Limits) orDefaults() Limits { return limits.OrDefaults(l, DefaultLimits()) }
