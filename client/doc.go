// Package client attaches a program to the bus of a runtime.
//
// A Bus is one attachment: a gRPC stream (MessageBus.Attach) that is kept up.
// When it breaks, it is opened again with a growing wait, and the listeners are
// put back before anything else is sent, so that an answer finds its way.
//
//	conn, err := client.Dial("127.0.0.1:7402", nil)
//	bus, err := client.New(client.Config{Conn: conn, Name: "thermostat"})
//	go bus.Run(ctx)
//	bus.Listen(ctx, "hyperty://example.org/t1", func(ctx context.Context, m *peerbusv1.Message) {
//		bus.Send(ctx, message.Answer(m, 200, nil))
//	})
//	response, err := bus.Request(ctx, &peerbusv1.Message{Type: "read", From: …, To: …})
//	if err == nil {
//		_, err = message.Result(response) // a code of 400 or more is an error
//	}
//
// From is an address of the runtime: a registered one, or one below its URL; others are
// refused with 403. Without one it is that of the bus. Id is JSON, as message.StringID makes
// it; without one the bus makes one. A refusal that comes after Send or Post has returned is a response to
// From, so a program that wants to hear of it sends from an address that it listens to.
//
// A handler may keep its messages. For one that keeps none there is Borrowed, which makes
// less garbage: a message and its body are then valid until the handler returns.
//
// Three ways to hand over a message: Send queues it, Post waits until the bus
// has accepted it (or, with Delivered, until its receiver has dealt with it),
// Request waits for the response. All three wait while the stream is down, as
// long as their context lets them.
// A handler may call any of them, and Listen.
//
// Anyone at this bus reaches what it listens to. From other runtimes an address is reached
// when it is registered (Registry.Register, or peerbus hyperties add), or below the runtime's
// URL.
//
// A message continues the trace of the program that posts it when its Trace is set:
// message.TraceOf makes one out of a W3C trace context. Where the services send traces, a
// request without a Trace begins one. An answer is in the trace of its request.
//
// # Once, whoever is killed
//
// Every post of an application has a number, under an origin that is the
// attachment's own, and is kept, encoded, until the bus says that it is
// settled: its receiver has dealt with it, or it was refused.
//
//	client                    bus                       a bus, elsewhere
//	 │ hello, origin o         │                              │
//	 │ post 1, 2, 3            │ 1, 2, 3 in a flow            │
//	 ├────────────────────────▶├─────────────────────────────▶│ its listener gives
//	 │◀────────── settled 1–2 ─┤◀─────────────── dealt with 2 ┤ credit for 1, 2
//	 │                         ✝
//	 │ hello, origin o         │ (restarted)
//	 │ listeners               │
//	 │ post 3 again, then 4    │
//	 ├────────────────────────▶├─────────────────────────────▶│ 3 is known by (o, 3)
//
// A stream that breaks therefore fails no Post and no Request: the call waits on
// for the outcome of the repeated post, until its context ends. (Where the bus was killed, a
// response that came before the request was posted again goes to a listener at its from, and
// the request waits in vain.) A call that gives up after its message has left does not take
// it back.
//
// A listener gives credit in the order of the deliveries, which settles them: when its
// handler has returned and nothing more is there, for each quarter of its window, and
// otherwise within Limits.Linger. What has no credit yet when a process is killed comes again to the one
// in its place. What comes again to this one, since a bus was killed between the two, is
// known by its origin and number (package protocol/once) and not handled again. It
// is marked as it enters the listener's queue, which outlives the stream; and
// credit is given for it in its turn, when the first of the two has been handled.
// Credit for a delivery goes to the stream that it came on, or nowhere.
//
// Stubs are different: what they post has the key of whoever posted it first, and what
// comes to them again must leave again. So nothing of theirs is numbered, or dropped as a
// repetition. The registry's posts are not numbered either, since it asks again by itself.
//
// # Who runs what
//
// Run's reader hands deliveries to the queue of their listener, and never waits
// for a handler; a listener that has messages has a goroutine, which calls its
// handler, one message at a time and in order, and ends when none has come for a
// while. One goroutine at a time writes to the stream: a poster when all is calm, else
// the stream's writer, which puts all that is queued into one frame. When
// Run's context ends the writer sends what is queued and closes its side, so that the
// bus knows that the listeners do not come back.
//
// Invariants: the order of numbers is the order on every stream. What is repeated
// goes before what is new. A post with a call has one outcome, or its call's
// context has ended.
//
// Bounds (Limits): what is queued for the stream (Outbox), what is kept until it
// is settled (Retain), of which what is for one receiver never takes more than is left
// for all others, so that one that has stopped does not stop the posts to those; what a listener may
// have under way (Window; the bus keeps to it), the listeners and the waiting calls
// of an attachment, and the pairs of address and poster that are remembered
// (Marks). A process that is killed loses what it had queued and kept: an
// attachment is numbered anew in each process.
package client
