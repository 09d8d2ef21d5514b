// Package olderpeer is a test double: a complete runtime as reTHINK's own
// JavaScript is one, which speaks JSON over WebSocket with a Message Node and the
// older framing on its data channel, and nothing of what came later.
//
// It exists so that a system test can show that real processes of ours talk to
// such a peer unchanged, in both roles. It is written against the wire contract
// alone (sections 3 to 9 and 11) and shares no code with the rest of the module:
// two readings of one contract that agree say more than one reading tested
// against itself.
//
//	Peer ──────────── sessions: one WebSocket a domain ──► Message Nodes
//	 │                    (session.go)
//	 │ receive: an address has at most one listener
//	 │
//	 ├── <runtimeURL>/p2phandler/…   ─► handle   ┐
//	 ├── <requester>                 ─► answered ├─ setup.go
//	 ├── <our object>[/subscription] ─► reporter │  (reporter.go)
//	 ├── <their object>/changes      ─► observer ┘  (observer.go)
//	 ├── below <runtimeURL>          ─► nobody: older peers are deaf there
//	 └── everything else             ─► Messages()
//
// # A set-up, as the requester
//
//	Connect ── status create ── subscribe the requester's address
//	  │  invent connection://…, subscribe it
//	  ├─ create ─────────────────► handler       (no description yet)
//	  ◄─ subscribe ─────────────── <obj>/subscription
//	  ├─ 200, the whole object ──►               (the offer; or two updates after it)
//	  ├─ update iceCandidates.n ─► <obj>/changes (every candidate)
//	  ◄─ create ────────────────── requester     (their object: the answer)
//	  ├─ subscribe, 200 ─────────► status in-progress
//	  └─ channel "P2PChannel" opens: status live
//
// As the handler it is the mirror image, except that the offer must stand in the
// answer to its subscription, since it makes its own answer at once.
//
// # What it holds against the other side
//
// Whatever would have stopped an older peer is a violation: it is listed by
// [Peer.Violations], and if it concerns a set-up, that set-up fails with it.
// A violation is never repaired, however easy that would be.
//
// # Who owns what
//
// One goroutine reads each WebSocket; each set-up runs in goroutines of its
// connection and ends with it; pion's callbacks only hand over. Peer.mu guards the
// tables, and no message is sent and no pion method called under it. [Peer.Close]
// returns when all of them have ended.
//
// # Limits
//
// Data only, loopback candidates only, no ICE servers, no multicast DNS: it runs on
// a machine without a network. What it has seen (statuses, violations, the objects it
// was invited to) it keeps for its life, which is a test's. It keeps no state over a
// restart, publishes no change feed and answers nothing that is addressed below its
// runtime URL.
package olderpeer
