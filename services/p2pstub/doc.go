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
//	    │◄── subscribe <objA>/changes, <objA>/subscription ───┤  beside the rest, for what
//	    ├── subscribe <objB>/changes, <objB>/subscription ───►│  trickles and for the end
//	    │◄═══════════════ ICE, DTLS, SCTP ═══════════════════►│
//	    │ live, when the data channel is open            live │
//	    │◄══ messages, in the framing that both announce ════►│
//	    ├── delete <objA>/subscription → <objA>/changes ─────►│ disconnected
//
// An older peer invites before it has a description, and gives it with the answer
// to the subscription or as updates; the same code takes it when it comes. What an
// older peer gets is complete: the description with all candidates in it, in the
// answer to its subscription and, when it is the answer, in one update besides.
//
// # Who owns what
//
//	Stub ── stubs, peers, mini bus, watchers (one mutex, no I/O under it)
//	 ├── peer ── a loop: machine, Connection objects, rtc.Peer, writing
//	 │    └── reader ── one goroutine while the data channel is open
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
// # Invariants
//
//   - One current peer for each remote runtime. A new one takes its place only as
//     admit says; what it displaces says nothing more after it has given way.
//   - A peer publishes states only as protocol/status lets them follow each other,
//     and `created` before anything else of it leaves.
//   - What came in by a stub does not leave by it (via), and via does not leave.
//   - When a peer is forgotten its goroutines have ended and its socket share,
//     listeners, addresses and subscriptions are given back. Requests that had not
//     left by then are answered with 503.
//
// Limits bounds every queue, table and wait. A Message Node vouches for the sender
// of an invitation; beyond that, an invitation must name a runtime that its stub's
// address does not contradict.
package p2pstub
