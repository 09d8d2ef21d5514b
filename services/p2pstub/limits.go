package p2pstub

import (
	"time"

	"github.com/peerbus/peerbus/internal/limits"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// Limits bound a P2P stub. Zero fields take the defaults.
type Limits struct {
	// Peers is how many peer connections there may be. Default 10,000: about
	// 2 GiB of memory. What others leave unfinished in their data channels comes
	// on top of it (framing.Limits.Reassembly for each).
	Peers int
	// Invited is how many set-ups that others have begun may be under way or wait for their
	// turn. Default 1,000: a flood of invitations leaves room for the other peers.
	Invited int
	// Turns is how many of these begin at once, and Turn how long each of them keeps the
	// next one waiting, if it takes that long. Defaults 100, which keep a core busy for one
	// to two seconds, and a fifth of SetUp: one that takes longer is waiting for its
	// network.
	Turns int
	Turn  time.Duration
	// TurnWait is how late the turn of an invitation may come; one whose turn comes later is
	// refused then. Default half of SetUp: the other side gives up soon after.
	TurnWait time.Duration
	// SetUp is how long a set-up may take. Default 15 s: ICE gives up after 10 s,
	// and signalling has the rest.
	SetUp time.Duration
	// Patience is how long ICE lets the path of a connection without heartbeats be silent
	// before it counts as disconnected. A set-up whose ICE finds no path ends after twice
	// this time. Default 5 s.
	Patience time.Duration
	// Heartbeat is the time between two heartbeats of a side. Default a quarter of Quiet,
	// at most 1 s: three in a row may be lost before the path is given up.
	Heartbeat time.Duration
	// Quiet is how long nothing may come over a channel with heartbeats before the
	// connection is disconnected. Default 3 s: longer than any pause of a path that
	// works, and short against what a person waits.
	Quiet time.Duration
	// Rest is the time without data after which a connection rests: ICE's checks take the
	// place of its heartbeats; where none of these checks are heard, it beats a fourth as
	// often. Default 5 s: of many connections most are idle, and an idle one should cost
	// what ICE alone does.
	Rest time.Duration
	// RestQuiet is how long nothing may come over a connection that rests before it is
	// given up; one without heartbeats is given up by ICE, after Quiet more. Default 30 s,
	// as pion's own, and at least Quiet: to set up anew everything that is connected with a
	// machine which stood still would be more than it can do at once. The first message
	// makes the bound Quiet again.
	RestQuiet time.Duration
	// Restart is how long each try to restart ICE may take before the next one, or the end.
	// Default 5 s: signalling and checks take less than one second, and what waits in the
	// channel is sent again after some.
	Restart time.Duration
	// Look is how often the addresses of this machine are looked at. Default 1 s:
	// one system call.
	Look time.Duration
	// Records is how many DTLS records a connection may send before it is worn.
	// Default 2^24 less 2^20: the nonces are drawn at random, so that two of 2^24
	// meet with a chance of one in 2^17, and the last 2^20 are for what is sent
	// until another one takes over.
	Records uint64
	// LastRecord is how many DTLS records a connection may send in all: one that could not
	// be replaced ends then, and is set up anew. Default 2^24.
	LastRecord uint64
	// Age is how old a connection may be before it is worn, since its keys are as old.
	// Default 24 h.
	Age time.Duration
	// Linger is how long a connection that was replaced waits at most, and a tenth of it at
	// least, for messages that are still led over it. Default 5 s: the registries of both
	// sides lead messages elsewhere at once.
	Linger time.Duration
	// Inbox is how many events may wait for a peer's loop before whoever posts one has to
	// wait. Default 64: a set-up has some tens.
	Inbox int
	// Candidates is how many of the other side's candidates are tried. Default
	// 64: several interfaces with several servers each.
	Candidates int
	// Pool is how many addresses for Connection objects are allocated ahead. Default 2: a
	// single set-up waits for none, in a burst all but two wait for the same answer, and
	// each address is a record at every replica of the Message Node.
	Pool int
	// Allocate is how many addresses are asked for at once. Default 500: a Message
	// Node refuses more than 1,000.
	Allocate int
	// GiveBack is how many addresses and subscriptions, together, are kept to be given back
	// while the Message Node does not answer. Default 20,000: as many addresses as it lets a
	// session have.
	GiveBack int
	// Request is how long a request to a Message Node may take before it is repeated or
	// given up. Default 5 s.
	Request time.Duration
	// Registry is how long the registry may take to note a new connection before the set-up
	// goes on without that. Default 1 s: it answers at once, or is away.
	Registry time.Duration
	// Stop is how long the stub takes to tell its peers and the Message Node
	// that it stops. Default 2 s.
	Stop time.Duration
	// Close is how long the end of a peer connection is waited for; what is left of it then
	// ends by itself. Default 3 s: it takes milliseconds, unless a TURN server does not
	// answer.
	Close time.Duration
	// Outgoing is how many bytes of messages may wait for a data channel before
	// no more are taken from the bus. Default 256 KiB: some tens of packets.
	Outgoing int
	// Sign is how often the bus is told that a message waits for room in a data channel.
	// Default 250 ms: of four, one is enough for the bus to know that nothing hangs here
	// (its Limits.StallTime).
	Sign time.Duration
	// HighWater and LowWater bound how many bytes may be buffered in a data channel before
	// nothing more is written to it: as much as leaves in a moment (pace.go), but at most
	// HighWater and at least LowWater. Defaults 1 MiB, so that a fast link of 100 ms is
	// kept busy, and 32 KiB, two packets.
	HighWater, LowWater int
	// Watchers is how many Watch streams there may be. Default 64.
	Watchers int
	// WatchQueue is how many changes may wait for a Watch stream before it is
	// cut. Default 1,024: it comes back with a snapshot.
	WatchQueue int
}

// DefaultLimits are used for the fields of Limits that are zero.
func DefaultLimits() Limits {
	return Limits{
		Peers: 10_000, Invited: 1000, Turns: 100, Turn: 3 * time.Second, TurnWait: 7500 * time.Millisecond, SetUp: 15 * time.Second, Patience: rtc.DefaultPatience,
		Heartbeat: 750 * time.Millisecond, Quiet: 3 * time.Second, Rest: 5 * time.Second, RestQuiet: rtc.DefaultSilence, Restart: 5 * time.Second, Look: time.Second,
		Records: 1<<24 - 1<<20, LastRecord: 1 << 24, Age: 24 * time.Hour, Linger: 5 * time.Second, Inbox: 64, Candidates: rtc.DefaultCandidates, Pool: 2, Allocate: 500, GiveBack: 20_000,
		Request: 5 * time.Second, Registry: time.Second, Stop: 2 * time.Second, Close: rtc.DefaultClose,
		Outgoing: 256 << 10, Sign: 250 * time.Millisecond, HighWater: 1 << 20, LowWater: 32 << 10,
		Watchers: 64, WatchQueue: 1024,
	}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	d.Turn, d.TurnWait, d.Heartbeat, d.LastRecord = 0, 0, 0, 0 // they follow from others
	l = limits.OrDefaults(l, d)
	if l.Turn == 0 {
		l.Turn = l.SetUp / 5
	}
	if l.TurnWait == 0 {
		l.TurnWait = l.SetUp / 2
	}
	l.RestQuiet = max(l.RestQuiet, l.Quiet)
	if l.Heartbeat == 0 {
		l.Heartbeat = min(l.Quiet/4, time.Second)
	}
	if l.LastRecord == 0 {
		l.LastRecord = max(DefaultLimits().LastRecord, l.Records)
	}
	return l
}
