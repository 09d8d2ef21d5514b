// Package flow is what the buses of two runtimes do so that nothing between them
// is lost, doubled or reordered, whichever ways it takes: the machine of the one
// that sends, and of the one that receives. Both are pure: they are told what
// happens and what time it is, and say what is to be done.
//
//	post ──▶ Sender                                              Receiver ──▶ listener
//	          │ 1 ═══════════ direct: p2p connection ═══════════▶ │ hand over 1
//	          │ 2 ═══════════════════════════════════▶ lost       │
//	          │ 3 ═══════════════════════════════════════════════▶│ keep 3, 2 is missing
//	          │◀────────────── received 1 3-3, dealt 0 ────────── │
//	          │ 2 ═══ again: 3 was sent later, and is of its lane ▶│ hand over 2 3
//	          │                                                   │◀── 1 is dealt with
//	          │◀────────────── received 3, dealt 1 ────────────── │
//	settled 1◀┤ direct is gone                                    │
//	          │ 4 ─────────── relay: Message Node ───────────────▶│ hand over 4
//	          │◀────────────── received 4, dealt 4 ────────────── │
//	settled◀──┤ 2 3 4                                             │
//
// A message is in one of these states. It is kept until it is settled.
//
//	waiting in its account
//	  │ gets its sequence
//	  ▼
//	under way ──▶ received ──▶ settled: dealt with, or refused by the receiving bus
//	  ▲ │   │
//	  │ │   └─▶ refused for a time (408, 429, 5xx; 404 of a peer that is known) ─┐
//	  │ └lost──▶ due ◀───────────────────────────────────────────────────────────┘
//	  └───────────┘                   any ──▶ settled: refused for good, or given up
//
// What is received drives what is sent; only what is dealt with is forgotten. So a
// receiving bus may be killed at any time: the next one says another receiver, and
// has all again that its predecessor had and no listener had dealt with. A sending
// bus that is killed is no matter of a flow: the clients keep what is not settled,
// and the flow of the next bus has a later epoch.
//
// Ways. The direct one is taken when it is there, else the relay; both while the
// direct one is in doubt, or when nothing has arrived for a time-out. A switch
// waits for nothing: what is under way on a way that is gone goes at once by the
// other, and the receiver puts it in order and takes each once.
//
// Several. What is posted together is kept as one, with a sequence for each message, and is
// sent, acknowledged and settled as one while the same happens to all of it. Where that
// ends, it is split: at the end of an acknowledgement, of a window, of a turn, of what a way
// takes; around what is lost or refused. On the ways, and in the order of what is settled,
// nobody can tell.
//
// Turns. What has not been sent waits with others of its address. The addresses take
// turns by bytes, so that one with megabytes waiting does not hold up the others.
//
// Kinds. A way interleaves short messages and long ones. So each kind has a window
// of its own, and neither waits for the other. What is behind a long message of its
// lane has to wait for it, and counts as long as well.
//
// Windows. What may be under way grows with what is received, as long as round trips
// are about as short as the least seen lately, and shrinks when they are longer by
// more than Limits.Delay, as then it only queues. So a slow path has a fraction of a
// second in its queue, and the rest waits here, where it can be shared. A loss
// halves the window. The first message that is missing goes again though its window is
// full, which it may be of what the receiver had no room for behind it.
//
// Losses. A way keeps the order of a lane: what was sent before something of its
// lane that has arrived by the same way is lost, and goes again at once. The last
// of a lane is lost when it has been the first under way of its kind for too long,
// and others that were sent later have arrived. When nothing arrives at all there
// is a time-out, from measured round trips, doubled each time. Long messages have
// besides the time that their bytes take on the slowest path (Limits.Pace).
//
// A peer that may not know flows gets each message once. The first acknowledgement,
// or the look-up of its runtime (Announce, Plain), tells; when nothing does, a
// message is taken for a plain one after Limits.Undecided.
//
// Gaps. Sequences for which nothing comes any more are passed: what is below the
// base of any message; and what lies between a message and its After, the one that
// is kept before it, so that a listener which is stuck does not make anything
// grow, however many pass it. Both come with every transmission. When the receiver
// has all that follows, they come in one without a message, which also asks: it
// is acknowledged at once.
//
// Acknowledgements each say everything, so that they may be lost, repeated and
// reordered; but for what is dealt with out of order, which goes through in turn
// when it does not fit. A refusal by the receiving bus is said until the base has
// passed it.
//
// Invariants:
//   - Messages of an address are sent first in the order in which they were posted.
//   - Of one flow, a receiver hands over each sequence once, and they rise.
//   - What is settled with code 0, and not as plain, has been dealt with.
//   - A message that is not received either waits in its account, or is due, under
//     way, or refused for a time; and there is a deadline for each.
//   - A message that is received and not dealt with is asked about until it is.
//   - Whatever an acknowledgement or a Place says, it costs no more than what it
//     changes, and nothing is done that its own runtime would not suffer from.
//
// The sizes of both are bounded by Limits, which count at least 256 bytes for
// each message. A receiver has handed over at most Bytes and Ahead together. Most
// of it costs the same however much is kept; but a search among messages of which
// many were settled out of order takes the logarithm of their number. A split costs no
// more than a message, and there are no more of them than messages.
package flow
