// Package msgnode is the Message Node of a domain: it relays between runtimes,
// and answers for the domain's addresses, subscriptions and registry (wire
// contract, sections 3 to 6).
//
//	runtime A                       replica 1          NATS          replica 2         runtime B
//	    │  WebSocket or gRPC            │                │               │                 │
//	    │── open ──────────────────────►│── session ────►│── watch ─────►│                 │
//	    │◄──────── 200, runtimeToken ───│                │               │◄─────── open ───│
//	    │── subscribe a ───────────────►│── hold a ─────►│── watch ─────►│                 │
//	    │◄───────────────────────── 200─│                │               │                 │
//	    │                               │                │               │◄── message to a │
//	    │                               │◄── at.1 ───────│◄──────────────│                 │
//	    │◄────────────── message to a ──│                │               │                 │
//
// # What happens to a message
//
//	frame ─► reader ─► validate ─► authorise ─► bind ─► decide ─► deliver
//	                      │            │          │        │         ├─► a service; its answer to the
//	                      └────────────┴──────────┴────────┘         │   control queue of the same socket
//	                             refusal, likewise                   ├─► relay queues of sockets here
//	                                                                 ├─► mailboxes of those that are away
//	                                                                 └─► other replicas, one subject each
//
// Each socket has a reader, which runs the pipeline and so handles its messages
// in order, and while there is something to write, a writer, which alone writes. What
// comes in one frame, one behind the other, and goes the same way is handled together,
// and goes on as it came. Nobody waits for a slow socket: its
// relay queue is bounded, and past the bound the sender is refused with 429.
// Answers have a queue of their own; a client that does not take them is not
// read either.
//
// # A receiver that is away
//
//	attached ── push ──► queue of its socket ── batch ──► client
//	                        │ lost                  ▲
//	                        ▼                       │ re-open or open here
//	lost ────── keep ──► mailbox ───────────────────┘
//	                        ├─► the replica where it re-opens, in order (hop)
//	                        └─► 408 past MailboxBytes or MailboxTime; 404 when the
//	                            session is closed; 503 when this replica stops
//
// What comes for a runtime whose session is lost is kept by the replica that it
// reaches, in its order, behind what the lost socket had not sent, and is in the
// queue of the next socket before anything newer is. A refusal is an answer to the
// sender; what is a response itself is dropped. What was under way to a client when
// its socket was lost is not known to be lost: flows make up for it.
//
// # Flows
//
// The node carries the fields of flows and does not look at them, but for four
// things. A message in a flow of another runtime than the session's is refused
// (403). A session that has not announced flows with its open or re-open (body
// `flow`) gets neither `flow` nor the message's key. A refusal names the place
// of the message that it refuses. And what nobody holds below the URL of a runtime
// that has announced flows goes to its session, if it is of a flow or a response: its
// bus says whether anybody listens.
//
// # State
//
// Two key-value buckets, each with a copy in the memory of every replica that a
// watcher keeps:
//
//	msgnode-<domain>-state      sessions, owners and subscribers of addresses (directory)
//	msgnode-<domain>-registry   entries of the domain registry (index)
//
// All decisions are made on the copies. Writes compare and set, and return once
// the copy here has them, so that a client sees its own. What nobody is found to
// hold is looked for again after the copy has caught up with the store, so that a
// 404 is true for all replicas. Nothing of this is in a replica alone: another one
// takes a session over, and a restart keeps tokens, subscriptions and entries.
//
// Any server of NATS may be lost meanwhile. What cannot be written is tried again until
// StoreTimeout, and then refused with 503; past StorePatience without a write that is taken
// it is refused at once, since the messages of a socket are handled in order and those
// behind it would wait; follow.go keeps the copy right; and
// a replica that nobody listens for has ReplicaGrace to be back at another server
// before its sessions are lost. Past StoreUnwritable without a write that is taken, or
// StoreAway without an answer, the replica is not ready and goes on with the sessions that
// it has; past StoreAway, if no other one answers either, its clients are sent away
// (probe.go, health.go).
//
// Only messages are in a replica alone. When it is told to stop it lets nobody in,
// refuses what is kept, sends what is queued, and then closes each connection, so
// that its clients come back elsewhere at once; all within DrainTimeout. When it is
// killed, what was queued and kept is gone without a word, and its sessions are
// noted as lost by another replica after ReplicaGrace, unless their runtimes have
// re-opened before: flows send it again.
//
// # Invariants
//
//   - A session is on one socket of all replicas; its record says on which.
//     An older socket of the same runtime stays open, and idle: it has the session back
//     when the newer one has been lost for ReplacedWait.
//   - Messages of one sender to one receiver stay in order, also between replicas;
//     only where a receiver is lost and re-opens at a replica while others still
//     keep something for it may that come later. Flows put it in order.
//   - A message is in one place: a queue, a mailbox, on its way between replicas, or
//     refused.
//   - A hold counts only with the token of its runtime's present session.
//   - Node.mu guards directory, index, sockets, mail and pace; no I/O and no wait
//     is done with it held. A socket's session is written by its reader under mu.
//   - `via` never reaches another session than the sender's.
//   - The trace of a message has one `relayed`, of the replica that it came to.
//   - A response is never answered, and no refusal is a 500.
//
// Limits has every bound. Files: node.go (wiring), session.go (the pure machine of
// a session), directory.go, route.go, mailbox.go, entry.go, index.go with indexed.go
// and deadlines.go, query.go and pace.go (pure; model.go drives them without a node),
// turns.go (what is under way at once), pipeline.go, mail.go (handing over and
// keeping), the services (sessions, allocate, subscribe, domainregistry), hop.go
// (between replicas), sweep.go (what time brings about), store.go, follow.go, probe.go
// and health.go (NATS), socket.go and queue.go, websocket.go, grpc.go and http.go.
package msgnode
