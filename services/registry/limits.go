package registry

import (
	"time"

	"github.com/peerbus/peerbus/internal/limits"
)

// Limits bound a registry. Zero fields take the value of DefaultLimits.
type Limits struct {
	// Connections is the largest number of entries in the p2pConnection table.
	// Default 4,096: each can be a peer connection of its own in the P2P stub.
	Connections int
	// Addresses is how many addresses one remote runtime may have in its entry.
	// Default 10,000: the list of them still fits into one message.
	Addresses int
	// Registrations is how many hyperties and data objects this runtime may
	// run. Default 10,000, for the same reason.
	Registrations int
	// Transitions is how many changes of state an entry remembers. Default 32:
	// several attempts, for whoever asks why it is not live.
	Transitions int
	// Cache is how many answers of domain registries are kept. Default 65,536:
	// some 20 MiB at worst.
	Cache int
	// FoundFor is how long an address that was found is not looked up again.
	// Default 10 min: hyperties seldom move, and a live connection's feed tells.
	FoundFor time.Duration
	// MissingFor is the same for an address that was not found. Default 30 s: a
	// hyperty that is registered late is soon reached directly.
	MissingFor time.Duration
	// AskAgain is the same for somebody who asks on purpose, by Resolve or Connect, and for
	// an address that a peer sends from. Default 1 s: whoever has just registered an
	// address is not told that it is unknown, and an address is looked up once a second at
	// most.
	AskAgain time.Duration
	// UnansweredFor is the same when the domain registry could not be asked. Default 5 s:
	// the Message Node may be back any moment, and a look-up waits for it that long.
	UnansweredFor time.Duration
	// Lookups is how many look-ups may be under way. Default 1,024; what exceeds it stays
	// with the Message Node and is looked up with a later message.
	Lookups int
	// Domains is how many Message Nodes this runtime talks to. Default 256: each
	// is a session.
	Domains int
	// Told is how many routes, and how many sources, are remembered for one bus. Default
	// 65,536; beyond that the oldest are taken back.
	Told int
	// Outgoing is how many answers and changes may wait for one bus or watcher. Default
	// 16,384; a slower one is cut off, and asks again.
	Outgoing int
	// Unanswered is how many allocations without an answer are kept, to be repeated when
	// the like is wanted. Default 64: as many registrations at once have failed; what is
	// older has its address until the session with the Message Node ends.
	Unanswered int
	// KeepAlives is how many registrations are refreshed at once. Default 8.
	KeepAlives int
	// Waiting is how many questions of one bus may wait for a Message Node stub or a
	// look-up. Default 4,096; what exceeds it is answered with 503.
	Waiting int
	// Subscriptions is how many remote registries may wait for the connection to
	// be live here too. Default 256; more are answered with 429.
	Subscriptions int
	// Invitations is how many invitations of others may be on their way to a replica of
	// p2pstub. Default 1,024, what one replica takes; more are answered with 429.
	Invitations int

	// DeployWait bounds a call to the P2P stub or the Message Node stub. Default
	// 5 s: both answer without waiting for anyone.
	DeployWait time.Duration
	// TakeWait bounds one attempt to hand an invitation to one of several P2P stubs; all
	// attempts together have DeployWait. Default 1 s: a replica that hangs is found gone
	// within DeployWait, and there is time for another one.
	TakeWait time.Duration
	// ReplicaWait is how long a replica of p2pstub may be out of sight before its
	// connections are set up at another one. Default 1 s: a stream that broke is back at
	// once, and a process that was killed is known to be gone before that.
	ReplicaWait time.Duration
	// LeaderWait is how long a call waits for a registry that leads. Default 5 s: when one
	// was killed, another leads within 3 to 4 s.
	LeaderWait time.Duration
	// LookupWait bounds a look-up, and what waits for one. Default 5 s: two round
	// trips over a bad line.
	LookupWait time.Duration
	// RequestWait bounds any other request to a Message Node. Default 15 s, what
	// older buses wait.
	RequestWait time.Duration
	// RegisterWait bounds steps 2 and 3 of the registration after set-up, and how
	// long a remote registry's subscription waits for them. Default 15 s: the stub
	// is in this runtime, but may be coming back to a bus that was restarted.
	RegisterWait time.Duration
	// LearnWait bounds the remote registry's answer to our subscription. Default
	// 10 s; older peers never answer.
	LearnWait time.Duration
	// Setup bounds a set-up. Default 30 s: twice what the P2P stub allows, so that it only
	// takes effect when that stub has died.
	Setup time.Duration
	// AtOnce is how many set-ups begun by this side may be under way; beyond that none
	// begins for a connection that was lost, unless a message wants it. Default 100: as
	// many as a P2P stub that is invited begins at once.
	AtOnce int
	// RetryMin and RetryMax bound the wait between two attempts, which doubles
	// with each. Default 1 s and 60 s.
	RetryMin, RetryMax time.Duration
	// Retries is how many attempts are made in a row without a message that wants
	// one. Default 10: about five minutes.
	Retries int
	// RestartWait is how long a stub is left alone with a connection that it has
	// lost. Default 12 s: two restarts of ICE, of 5 s each, and a margin.
	RestartWait time.Duration
	// Stable is how long a connection must have lived for its next attempt to be made
	// without a wait. Default 10 s.
	Stable time.Duration
	// RenewWait is how long the side that was the handler leaves a worn connection
	// to the other one, and the wait before another replacement when one has failed.
	// Default 1 min: wear is noticed long before it does harm.
	RenewWait time.Duration
	// Drain is how long a connection that has been replaced is kept for what is still in
	// it. Default 5 s: its stub ends it as soon as it is empty.
	Drain time.Duration
	// Retention is how long an entry without connection is kept. Default 10 min:
	// long enough to see why it failed.
	Retention time.Duration
	// Ended is the number of removed entries of which it is remembered what was heard of
	// their stub, and EndedFor how long; beyond that a late status is taken for news.
	// Defaults 1,024 and 1 min: the two ways of a status are some milliseconds apart, and
	// seconds on an overloaded machine.
	Ended    int
	EndedFor time.Duration
	// Expires is the keep-alive time of a registration that gives none. Default
	// 1 h; it is refreshed three times within it.
	Expires time.Duration
	// Tick is how often deadlines are looked at. Default 500 ms: much less than
	// the shortest of them.
	Tick time.Duration
}

// DefaultLimits gives the defaults.
func DefaultLimits() Limits {
	return Limits{
		Connections: 4096, Addresses: 10_000, Registrations: 10_000, Transitions: 32,
		Cache: 1 << 16, FoundFor: 10 * time.Minute, MissingFor: 30 * time.Second, AskAgain: time.Second, UnansweredFor: 5 * time.Second,
		Lookups: 1024, Domains: 256, Told: 1 << 16, Outgoing: 1 << 14, Waiting: 4096, Unanswered: 64, KeepAlives: 8, Subscriptions: 256, Invitations: 1024, Ended: 1024,
		DeployWait: 5 * time.Second, TakeWait: time.Second, ReplicaWait: time.Second, LeaderWait: 5 * time.Second, LookupWait: 5 * time.Second, RequestWait: 15 * time.Second,
		RegisterWait: 15 * time.Second, LearnWait: 10 * time.Second, Setup: 30 * time.Second,
		RetryMin: time.Second, RetryMax: time.Minute, AtOnce: 100, Retries: 10, RestartWait: 12 * time.Second,
		Stable: 10 * time.Second, RenewWait: time.Minute, Drain: 5 * time.Second, Retention: 10 * time.Minute, EndedFor: time.Minute,
		Expires: time.Hour, Tick: 500 * time.Millisecond,
	}
}

func (l Limits) orDefaults() Limits { return limits.OrDefaults(l, DefaultLimits()) }
