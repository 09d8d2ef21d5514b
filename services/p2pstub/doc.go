// Package p2pstub keeps the WebRTC connections of a runtime with others (wire
// contract, sections 7, 8 and 11). The registry deploys one handler stub, which
// accepts what others start, and a requester stub for each connection that this
// runtime starts.
//
//	A requester              Message Nodes                B handler
//	    │ created ─► registry                                 │
//	    │ offer with its host candidates                      │
//	    ├── create <objA>/subscription → handler ────────────►│ created ─► registry
//	    │◄──────────────────────────────────────────── 200 ───┤
//	    │◄──────────── create <objB>/subscription → requester ┤ answer with its host candidates
//	    │ in-progress                                         │ in-progress
//	    ├── update <objA> → handler, <objB> → requester ──────┤  what trickles
//	    │◄═══════════════ ICE, DTLS, SCTP ═══════════════════►│
//	    │ live, when the data channel is open            live │
//	    │◄══ messages, in the framing that both announce ════►│
//	    ├── delete <objA>/subscription → handler ────────────►│ disconnected
//
// Updates and the end go to the stub of a peer that says `atStub` (follow.go). Any other
// one subscribes <obj>/changes and <obj>/subscription, beside the rest, as do we of it.
//
// An older peer invites before it has a description, and gives it with the answer
// to the subscription or as updates; the same code takes it when it comes. What an
// older peer gets is complete: the description with all candidates in it, in the
// answer to its subscription and, when it is the answer, in one update besides.
//
// # One of several
//
// A runtime may have several p2pstubs. The registry that leads watches all of them,
// and has what is for one remote runtime at one of them. The handler stub of a replica
// has an address of its own (deployed.url), by which the bus and the registry know it,
// and goes outside by the one that the runtime's registrations name (deployed.public).
// What comes to that one is handed over by the registry (Take). What a registry wants
// whose term is over is refused (replica.go). Before a replica stops it says that it
// leaves, and closes what it has, so that the registry has it set up at another one.
//
// # Who owns what
//
//	Stub ── stubs, peers, mini bus, watchers (one mutex, no I/O under it)
//	 ├── peer ── a loop, which sleeps in a rest (sleep.go): machine, Connection objects,
//	 │    │       rtc.Peer, writing
//	 │    ├── reader ── one goroutine while the data channel is open
//	 │    └── pulse ── a timer, which sends heartbeats and keeps the path's health; and a
//	 │                 goroutine, which answers those of the other side
//	 ├── network ── a goroutine: looks whether this machine's addresses change
//	 ├── addresses ── a loop: allocates Connection objects ahead, frees them
//	 └── client.Bus ── a goroutine a listener; a p2p connection URL is one
//
// The machine (machine.go) is pure: an event goes in, effects come out. The loop
// (peer.go) does them (signal.go). Callbacks of pion, listeners and answers only
// post to the loop's bounded inbox. admit.go decides, purely, on an invitation
// when there is a connection already: glare, a restart, a repetition.
//
// # The data path
//
//	bus ─► p2p connection URL ─► Encoder ─► loop ─► data channel ─► reader ─► bus
//
// Each p2p connection URL has a listener of its own, which waits while Outgoing
// bytes are in the Encoder, so that a slow peer holds up its own senders and no
// one else; the reader waits for the bus likewise, and SCTP holds up the other
// side. Small messages that wait together share a packet.
//
// # A path that fails
//
// Towards a peer that has announced it, a second data channel carries heartbeats
// (pulse.go). A silence of one and a half of them is a doubt (Peer.doubt), one of
// Quiet is the end of the path (health.go, pure): disconnected. A connection over which
// no data goes rests: ICE's checks do instead of heartbeats, a doubt takes four times as
// long, and the end RestQuiet (rest.go). When the path is down ICE is
// restarted, with a new generation in the two Connection objects (restart.go), and
// the data channel goes on. What does not come back within two tries of Restart
// ends, and the registry makes another. A path that comes and goes must answer for
// longer each time before it is live again. An older peer has what ICE says of the
// path, and no second try.
//
// A connection that has sent many DTLS records, or is old, is worn (Peer.worn): the
// registry has another one made beside it, which takes over without a pause
// (heir.go). Where that cannot be, it ends with its last record (Limits.LastRecord),
// and is set up anew. Records through a STUN or TURN server's candidate leave by a
// socket of pion's own and are not counted: there the age alone wears.
//
// # Invariants
//
//   - One current peer for each remote runtime, at most one heir, and at most one newcomer.
//     A new one takes a place only as admit says; what it displaces, or succeeds, says
//     nothing more after it has given way.
//   - No heartbeat, and no sign of life, waits for the bus, for data or for the loop.
//   - A peer publishes states only as protocol/status lets them follow each other,
//     and `created` before anything else of it leaves, but for one beside another.
//   - What came in by a stub does not leave by it (via), and via does not leave.
//   - When a peer is forgotten its goroutines have ended and its socket share,
//     listeners, addresses and subscriptions are given back. Requests that had not
//     left by then are answered with 503.
//
// Limits bounds every queue, table and wait. An invitation must name a runtime that its
// stub's address does not contradict. Anyone may send one in another runtime's name, but only
// that runtime gets what it needs for a channel (ADR 0039).
package p2pstub
