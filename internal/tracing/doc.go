// Package tracing makes spans of what the services do with a message, and writes the
// hops of a message down where that is asked for.
//
// One message is one trace, over both runtimes and the Message Node. Its context
// (W3C Trace Context) stands in the message, in the field `trace`, so that it goes
// over every path; the response has that of its request.
//
//	       bus          stub          msgnode         stub          bus
//	app ──► post ──────► send ───────► relay ───────► receive ─────► post
//	        └ until it                 (by the Message               └ deliver ──► app
//	          is settled                Node alone)                    until the listener
//	                                                                   has dealt with it
//
// Each span is a child of the one before it, and the message that goes on has its
// context. A Tracer belongs to a process and sends spans to a collector (OTLP over
// gRPC); without an endpoint there is none (nil), nothing is connected to, and a
// service's Point only carries on what a message has. What a message without a trace
// costs then is one comparison.
//
// A message belongs to all who got it: Start and Mark give another one, with the same
// content (message.Share), and never change the one they are given.
//
// What would make a message too large is left out of it. Spans that cannot be sent
// are dropped, and the log says so now and then: no message waits for a collector.
package tracing
