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
//	                                                                 └─► other replicas, one subject each
//
// Each socket has a reader, which runs the pipeline and so handles its messages
// in order, and a writer, which alone writes. Nobody waits for a slow socket: its
// relay queue is bounded, and past the bound the sender is refused with 429.
// Answers have a queue of their own; a client that does not take them is not
// read either.
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
// # Invariants
//
//   - A session is on one socket of all replicas; its record says on which.
//   - Messages of one sender to one receiver stay in order, also between replicas.
//   - A hold counts only with the token of its runtime's present session.
//   - Node.mu guards directory, index, sockets, parked and pace; no I/O and no wait
//     is done with it held. A socket's session is written by its reader under mu.
//   - `via` never reaches another session than the sender's.
//   - A response is never answered, and no refusal is a 500.
//
// Relaying is at most once: what was in the queue of a lost socket waits for its
// runtime at this replica, what was under way to it is gone. Flows of the runtimes
// are above this.
//
// Limits has every bound. Files: node.go (wiring), session.go (the pure machine of
// a session), directory.go, route.go, entry.go, index.go, query.go and pace.go
// (pure), pipeline.go, the services (sessions, allocate, subscribe,
// domainregistry), hop.go (between replicas), sweep.go (what time brings about),
// socket.go and queue.go, websocket.go, grpc.go and http.go.
package msgnode
