// Package client attaches a program to the bus of a runtime.
//
// A Bus is one attachment: a gRPC stream (MessageBus.Attach) that is kept up.
// When it breaks, it is opened again with a growing wait, and the listeners are
// put back before anything else is sent, so that an answer finds its way.
//
//	bus, err := client.New(client.Config{Conn: conn, Name: "thermostat"})
//	go bus.Run(ctx)
//	bus.Listen(ctx, "hyperty://example.org/t1", func(ctx context.Context, m *peerbusv1.Message) { … })
//	answer, err := bus.Request(ctx, &peerbusv1.Message{Type: "read", From: …, To: …})
//
// Three ways to hand over a message: Send queues it, Post waits until the bus
// has accepted it, Request waits for the response. All three wait while the
// stream is down, as long as their context lets them.
//
// Who runs what: Run's reader hands deliveries to the queue of their listener,
// and never waits for a handler; each listener has a goroutine that calls its
// handler, one message at a time and in order; one writer alone writes to the
// stream, and puts all that is queued into one frame.
//
// Bounds: what is queued for the stream (Limits.Outbox), what a listener may
// have under way (Limits.Window; the bus keeps to it), the listeners and the
// waiting calls of an attachment.
package client
