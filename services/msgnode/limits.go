package msgnode

import (
	"time"

	"github.com/peerbus/peerbus/protocol/message"
)

// Limits bound what a Message Node holds and waits for. A zero Limits in Config
// means DefaultLimits; a single zero field means nothing is allowed.
type Limits struct {
	// Sockets at one replica, of both transports. 20000: each costs about
	// 40 KiB, with the two goroutines that wait for an idle one.
	Sockets int
	// Sessions of the domain. 200000: a record of some hundred bytes at every
	// replica.
	Sessions int
	// Opens is how many opens and re-opens may be under way at once at this replica, and as
	// many losses of connections may be noted besides; others wait for their turn. 16: a
	// thousand a second and more at one replica, and at fifty of them what a bucket on
	// three servers writes, with all that follows a new session, while clients wait for it.
	Opens int
	// OpenTimeout is how long a socket may stay without a session. 30 s: a
	// client opens at once, even over a slow path.
	OpenTimeout time.Duration
	// SessionKept is how long a session without a socket is kept, with its
	// addresses. 10 min: a lost network comes back, a closed laptop does not.
	SessionKept time.Duration
	// ReplacedWait is how long the newer of two sockets of a runtime may be lost until the
	// older one, if it is open, gets the session back. 20 s: by then a lost one is back, an
	// older one that is dead has been found (PingEvery and PingTimeout), and what waits in
	// the mailbox is still kept.
	ReplacedWait time.Duration
	// ReopenEvery and ReopenBurst pace a runtime whose re-open names an unknown
	// token: older stubs reconnect without delay. One a second after five.
	ReopenEvery time.Duration
	ReopenBurst int
	// ReopenRuntimes bounds the runtimes that are paced one by one; others
	// share one pace. 10000.
	ReopenRuntimes int
	// ReopenWait is the longest pause before such a re-open is answered; past
	// it the answer is 429. 5 s: less than the 15 s after which it is repeated.
	ReopenWait time.Duration

	// ControlQueue is the number of answers waiting for a socket. 256: when it
	// is full the socket is read no further until its client takes answers.
	ControlQueue int
	// RelayQueue and RelayBytes bound the messages of others that wait for a socket, in
	// number and in encoded bytes. 16384: more messages of a hundred bytes than one flow
	// has under way. 16 MiB: four of the largest messages. Past them the sender gets 429.
	RelayQueue int
	RelayBytes int
	// MailboxBytes and MailboxTime bound what is kept for one runtime whose session is
	// lost, counting 256 bytes for each message besides its content. 12 MiB and 60 s: a
	// full queue of small ones, and a restart with some patience. Past them the sender gets
	// 408. What is kept goes to the session's next socket, in addition to RelayBytes.
	MailboxBytes int
	MailboxTime  time.Duration
	// MailboxTotal bounds all mailboxes of a replica, in bytes. 256 MiB: as if a few
	// dozen busy runtimes went away at once.
	MailboxTotal int
	// MailboxEvery is how often kept messages are looked after: the 408 comes that much
	// late at most. 1 s.
	MailboxEvery time.Duration
	// BatchBytes is where a gRPC batch stops growing. 16 KiB: past it a batch
	// saves nothing.
	BatchBytes int
	// WriteTimeout is how long a socket may take to accept one batch. 10 s: a
	// client that does not read is lost, and may re-open.
	WriteTimeout time.Duration
	// PingEvery is how often a WebSocket is probed, and PingTimeout how long
	// the answer may take. 10 s and 10 s: below the idle bounds of proxies, and
	// longer than a client may be held up by its own bus. A machine that is cut off
	// is found sooner, by the kernel.
	PingEvery, PingTimeout time.Duration
	// CloseTimeout bounds writing what is left when a socket is closed. 2 s.
	CloseTimeout time.Duration
	// DrainTimeout bounds sending what is queued when the node stops. 2 s: clients
	// wait for the next node meanwhile.
	DrainTimeout time.Duration
	// FrameBytes is the largest WebSocket frame that is read. Twice the largest
	// message: what is in between is answered with 413, past it the socket is
	// closed with 1009.
	FrameBytes int64

	// Addresses of one session. 20000: twice the most listeners that one
	// runtime is expected to have. Past it: 429.
	Addresses int
	// RequestAddresses of one allocation or subscription. 1000: the answer
	// stays small. Past it: 413.
	RequestAddresses int
	// StoreTimeout bounds one service request's writes. 4.5 s: less than the 15 s
	// after which older buses repeat it, and than the 5 s for which a nodestub waits
	// for the answer to its open. Past it: 503.
	StoreTimeout time.Duration
	// StorePatience is how long every write may fail before further ones are refused at
	// once, with 503, instead of being tried: everything that a session sends behind a
	// request waits with it. 3 s: two attempts, and less than NATS needs to choose a leader
	// at worst.
	StorePatience time.Duration
	// StoreAttempt bounds one attempt of a write, of which a request may make
	// several. 1.5 s: an answer that is not there by then was lost with a server.
	StoreAttempt time.Duration
	// StoreCheck is how often the copy of the store is compared with the store. 1 s.
	StoreCheck time.Duration
	// StoreLag is how late a write may be seen here before it is taken to be on its way
	// from a server that is lost. 500 ms: it mostly takes a millisecond.
	StoreLag time.Duration
	// StoreProbe is the time without a write by any replica after which one is made that
	// changes nothing, to know whether the store takes any. 1 s: two small writes a second
	// for the domain, when nothing else is written.
	StoreProbe time.Duration
	// StoreUnwritable is how long every write may fail before this replica is no longer
	// ready, since it can open no session. 8.5 s: NATS mostly has chosen a leader by then,
	// and with StoreProbe it is known 10 s after the loss.
	StoreUnwritable time.Duration
	// StoreAway is how long the store may be away before this replica is no longer ready.
	// If it reaches no other replica either, it then sends its clients away, which find
	// another one. 15 s: NATS chooses its leaders within 12 s.
	StoreAway time.Duration
	// StoreWriters is the number of writes of one request under way at once.
	// 16: enough to hide the way to a store elsewhere.
	StoreWriters int

	// Entries of the domain registry. 500000, about a kilobyte each. Past it: 429.
	Entries int
	// EntryBytes of one entry. 64 KiB: a descriptor's URL, not a descriptor.
	EntryBytes int
	// EntryExpires is used where a registration names no time, and
	// EntryExpiresMax the most it may name. 1 h and 30 days.
	EntryExpires, EntryExpiresMax time.Duration
	// EntryRetention is how long a disconnected entry is kept. 24 h: a peer
	// learns that it was there.
	EntryRetention time.Duration
	// SearchResults and SearchBytes bound the answer to a search. 1000 entries
	// and half of the largest message.
	SearchResults, SearchBytes int

	// SweepEvery is how often what has expired is looked for. 5 s.
	SweepEvery time.Duration
	// ReplicaTimeout is how long a replica may take to say that it is there. 2 s. No answer
	// changes nothing; only the word of NATS that nobody listens does.
	ReplicaTimeout time.Duration
	// ReplicaGrace is how long nobody must listen for a replica before its sessions count
	// as lost. 2 s: a replica whose NATS server was lost is back at another one by then.
	ReplicaGrace time.Duration
}

// DefaultLimits are those of a node with some gigabytes of memory.
func DefaultLimits() Limits {
	return Limits{
		Sockets: 20_000, Sessions: 200_000,
		Opens: 16, OpenTimeout: 30 * time.Second, SessionKept: 10 * time.Minute, ReplacedWait: 20 * time.Second,
		ReopenEvery: time.Second, ReopenBurst: 5, ReopenRuntimes: 10_000, ReopenWait: 5 * time.Second,

		ControlQueue: 256, RelayQueue: 16384, RelayBytes: 16 << 20, BatchBytes: 16 << 10,
		MailboxBytes: 12 << 20, MailboxTime: 60 * time.Second, MailboxTotal: 256 << 20, MailboxEvery: time.Second,
		WriteTimeout: 10 * time.Second, PingEvery: 10 * time.Second, PingTimeout: 10 * time.Second,
		CloseTimeout: 2 * time.Second, DrainTimeout: 2 * time.Second, FrameBytes: 2 * message.MaxSize,

		Addresses: 20_000, RequestAddresses: 1000,
		StoreTimeout: 4500 * time.Millisecond, StorePatience: 3 * time.Second, StoreAttempt: 1500 * time.Millisecond,
		StoreCheck: time.Second, StoreLag: 500 * time.Millisecond, StoreAway: 15 * time.Second, StoreWriters: 16,
		StoreProbe: time.Second, StoreUnwritable: 8500 * time.Millisecond,

		Entries: 500_000, EntryBytes: 64 << 10,
		EntryExpires: time.Hour, EntryExpiresMax: 30 * 24 * time.Hour, EntryRetention: 24 * time.Hour,
		SearchResults: 1000, SearchBytes: message.MaxSize / 2,

		SweepEvery: 5 * time.Second, ReplicaTimeout: 2 * time.Second, ReplicaGrace: 2 * time.Second,
	}
}
