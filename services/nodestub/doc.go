// Package nodestub holds the sessions of a runtime with Message Nodes, one a
// domain.
//
// A stub is a listener on the bus, `<runtimeURL>/protostub/<domain>`. What the
// bus delivers to it goes to the domain's Message Node; what the node sends is
// posted into the bus. The registry says which stubs there are (Deploy, Close)
// and is told how their sessions do (Watch).
//
//	registry          bus                nodestub                    Message Node
//	   │ Deploy(domain, stub)               │                             │
//	   ├────────────────────────────────────▶ listen(stub)                │
//	   │               ◀────────────────────┤                             │
//	   ◀────────────────────────────────────┤ endpoint: --node, or the    │
//	   │                                    │ well-known descriptor       │
//	   │                                    ├── connect (gRPC or /ws) ────▶
//	   │                                    ├── open, from <runtimeURL> ──▶
//	   │                                    ◀── 200, runtimeToken ────────┤
//	   ◀──── live, renewed (Watch) ─────────┤                             │
//	   │               ├── m, to stub ──────▶ queue ── m without via ─────▶
//	   │               ◀── m, via = stub ───┤ validate ◀─────── m ────────┤
//	   │                                    │            (connection lost)│
//	   ◀──── disconnected ──────────────────┤ the queue fills             │
//	   │                                    ├── re-open, from …/<token> ──▶
//	   │                                    ◀── 200 ──────────────────────┤
//	   ◀──── live ──────────────────────────┤ the queue goes out          │
//
// The life of a session (machine.go; wire contract, section 3):
//
//	   ┌────────────── lost, refused, domain unknown ──────────────┐
//	   ▼                                                           │
//	waiting ──time──▶ connecting ──connected──▶ opening ──200──▶ live
//	                      ▲                                        │ close
//	             start ───┘                    closed ◀── closing ◀┘
//
// Who owns what. A Stub has the table of domains, under one mutex that no I/O
// happens under. Each session has one goroutine, which alone steps its state;
// each connection has a reader and a writer (link.go), which only report to it,
// and both have ended before the next connection is tried. The queue (outbox.go)
// lies between the handler of the bus listener and the writer. What happens to a
// message on its way is in traffic.go.
//
// Invariants:
//   - `open` and `re-open` announce that this runtime knows flows (body `flow`).
//   - Messages keep their order in both directions, through reconnects too: what
//     was not handed to the connection stays at the head of the queue.
//   - What waits in the queue is in no span: each attempt to send it is one.
//   - What came in through a stub (`via`) does not go out through it again, and
//     `via` is never told to a node.
//   - A request that cannot be sent is answered: 404 when the domain cannot be
//     found, 413 when it is too large, 429 when the queue is full, 503 when the
//     node could not be reached for Limits.QueueTime. In a flow the refusal names
//     the place, and the bus finds another way.
//   - When the process stops, what is queued for a live session is sent and what
//     the node has sent is read, until the node has ended the connection or
//     Limits.DrainTimeout is over. What is queued without a session is not
//     answered: a flow sends it again, and another poster is told 408 by the bus.
//   - The token of a session is kept through reconnects, in memory alone. A
//     process that starts anew says `open` and is given its old session back.
//   - A connection whose node is gone without a word is given up after about 5 s,
//     by the kernel (internal/rpc) or a ping of the WebSocket. A lost session is
//     tried again at once and then at least every Limits.RetryQuick, with attempts
//     that are short at first, so that a node which is back is found within a
//     second.
//   - Stopping the process leaves the session to the node, with its
//     subscriptions; only Close ends it.
//   - A node that gives a session other than the one held here is reported as
//     renewed; so is the first one, since it cannot be known what it holds. A
//     watcher that begins is told of all live ones for the same reason.
//
// Where a node is: at the addresses given for its domain (gRPC endpoints), else
// where https://<domain>/.well-known/protostub/default says (discover.go). A name that
// has several addresses is as many endpoints, since behind each may be a replica. Of all
// of them gRPC is tried first, then the WebSocket; those that failed last come last
// (places.go), so that a runtime whose replica is gone, or does not open its session, is
// at another one with the next attempt.
//
// Bounds are in Limits.
package nodestub
