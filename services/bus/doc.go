// Package bus is the data plane of a runtime: it takes messages from whoever
// posts them and hands them to whoever listens.
//
// Everything that sends or receives is a listener: an application, the registry,
// a stub. A listener belongs to a stream (MessageBus.Attach or Listen). What no
// one here listens to goes to the listener that the registry names, a Message
// Node stub or a p2p connection; the bus asks once per address and is told of
// changes.
//
//	app          bus                          registry        stub
//	 │ post m     │                              │              │
//	 ├───────────▶│ admit: valid? (413, 400)     │              │
//	 │            │ source approved? ─ question ▶│              │
//	 │            │◀─────────────── 200 (kept) ──┤              │
//	 │            │ a response to a request? then to its poster │
//	 │            │ listeners of `to`? then to all of them      │
//	 │            │ route known? else ─ question▶│              │
//	 │            │◀──────── next = stub (kept) ─┤              │
//	 │            ├─────────────── m, for listener `next` ─────▶│
//	 │◀── 200 ────┤ it is in the stub's queue    │              │
//
// The way of a post (post.go, bus.go) has two places where it may wait, and
// nobody is blocked by that: the line of its source (source.go) and the line of
// its address (route.go). A line (line.go) is there from the first message that
// has to wait until it has been led off, and whatever comes meanwhile stands
// behind: per sender and receiver, order is kept. At the end of the way is an
// inbox (inbox.go), the bounded queue of one listener.
//
// What goes to another runtime that knows flows does not go to the stub's inbox
// directly, but into the flow to that runtime (flows.go, outflow.go, inflow.go; the
// machine is in package flow): it is kept until the listener there has dealt with
// it, sent again where it is lost, and put in order there. A post is accepted when it
// is in a queue or in a flow, and settled when its listeners have dealt with it (their
// credit says so) or it is refused. A client with an origin (origin.go) is told of
// both, and posts what is not settled again after its stream broke. Its listeners
// likewise may come back: for Limits.ReturnTime what is for them waits (absent.go).
//
// A runtime may have several buses, which are replicas (mesh.go). Each has a stream to
// each other one (link.go) and says there what listeners and clients it has (shared.go);
// at the other side that is a stream like any other, whose inboxes are those listeners
// (replica.go). The replica that first takes a message keeps it until they have dealt
// with it:
//
//	app      r1                                       r2                     app
//	 │        │◀── listener x, client o ───────────────┤◀────── listen x ──────┤
//	 │ post m │                                        │                       │
//	 ├───────▶│ m is in the inbox of x at r2           │                       │
//	 │        ├─────────── m, of queue 7 ─────────────▶│ to x, if it is of r2  │
//	 │        │                                        ├──────────────────────▶│
//	 │        │◀──────── credit for queue 7 ───────────┤◀─────── credit ───────┤
//	 │◀settled┤                                        │                       │
//	 │        │◀── x is gone, and may return ──────────┤        (cut off)       │
//	 │        │ what was sent waits in the line of x   │ drops its copies      │
//
// What comes so goes to listeners of that replica alone (deliveries.go). Flows from
// another runtime are taken by one of the replicas (passon.go); a response goes to
// where its request waits (handover.go), or is kept until that is known (late.go); one that
// is told to stop gives away what it keeps (drain.go). An alias whose owner moves stays
// (linger.go); a listener that another replica refuses is told again (retell.go).
//
// Who owns what.
//   - Each stream (attach.go) has a reader (reader.go), which alone takes its requests, and a
//     writer (turn.go), which alone sends. The writer puts what is queued into frames
//     (frame.go) of up to 128 messages and 16 KiB, 60 of long ones, one message when idle,
//     and serves the inboxes of its stream in turn.
//   - Plain posts of a frame to one listener are a batch (plain.go, batch.go), and so are
//     messages of a flow (inbatch.go). It is in the listener's inbox as one item, goes to it as a
//     message and its sequels (codec.Heading) if it takes them, and becomes posts where one of
//     them needs that. Those to an address in another runtime are one as
//     well (outbatch.go): a flow keeps them as one, and a stub that takes rows gets them as one,
//     and posts what came over a data channel so (codec.Carried).
//   - table (listener.go, route.go, routes.go, destinations.go): listeners, aliases,
//     routes, lines of addresses, under one mutex. Posts whose way is known only read.
//   - sources, requests, asker: each a table under a mutex of its own. A stream keeps the
//     approval of its last source, and need not look at that table.
//   - A stream's mutex guards its inboxes and outcomes. It is taken below the
//     table's, never the other way round. No lock is held while something is
//     sent or logged: what is decided under one is a verdict, carried out later.
//   - flows: who there are flows with, under one mutex; each flow has its own. Whoever
//     changes a flow pumps it: what is due goes into the inboxes of its ways. Flows to
//     others are removed with the table locked, so that no post is offered to one that
//     is gone. What has come in them is known by its key (arrived.go).
//     A p2pstub that hangs is in doubt before gRPC finds it dead (stall.go).
//   - origins: clients, each with its posts that are not settled. One stream of a
//     client at a time: a new one ends the one before, and has what that leaves.
//   - mesh: who the replicas are, and which wait for what response. Each link has a
//     reader, which offers what comes, a writer, and a mutex for what is between them.
//     The mesh's mutex is taken below the table's, that of a link below both. What is
//     told of this replica is guarded by the table's, so that a link that comes up is
//     told all of it once.
//   - asker (registry.go) keeps the questions that are open; Run keeps the stream
//     Registry.Routes on which they are asked. A new stream is asked all open
//     ones again. What is known is used on, and asked for again when it is used.
//
// Backpressure. A listener has a window: bytes that may be under way until it
// gives credit. Behind it is its queue, and behind that its overflow, where
// posts wait for Limits.FullTime. They are charged to the stream that posted
// them; one that has overdrawn (Limits.HeldBytes) is not read from. So a slow
// listener slows those who post to it, and no one else: other listeners of its
// stream have inboxes of their own, and outcomes go first. One that takes
// nothing for FullTime is stuck: it refuses with 429 at once until half of its
// queue is free.
//
// Invariants:
//   - A message is not copied, decoded or changed once it is posted, however many
//     listeners it has. One that is in a trace (trace.go) is another one to each of
//     them, with the same content; its credit counts by what the listener got.
//   - A message never goes to the stub that is its via (wire contract, section 2).
//   - A post with a sequence number has one outcome; a request (WAIT_RESPONSE) has
//     its response, a refusal, or 408. A refusal without an outcome is a response
//     to the message's `from`; a response is never answered.
//   - Before a source is approved, a refusal goes only back to the stream that
//     posted the message: to its listener for `from`, or for `via` at a stub.
//   - An alias (leads_to) is there while both its own stream and a listener that
//     it leads to are; it comes back with the latter. With replicas it outlives its own
//     stream by Limits.ReturnTime, if that is to come back.
//   - What a stream's end leaves undelivered is refused with 503, unless another
//     listener has it, or the client was cut off and comes back in time.
//   - A client's listeners are at the replica of its latest stream alone: an earlier one
//     is cut off everywhere before the new one is told of anywhere.
//   - Credit to another replica goes in the order of what it sent, queue by queue; credit
//     for a queue that is gone is void. What comes for a listener whose end the other
//     replica has not confirmed is left to that one.
//   - What was accepted is settled once: dealt with, or refused with a response. Of a
//     flow nothing is refused here that its sender's bus is not told of.
//
// Bounds are in Limits.
package bus
