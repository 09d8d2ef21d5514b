// Package gateway is the door for whoever speaks HTTP: curl, a browser, a script.
// It owns nothing. What it is asked it asks the bus and the registry over gRPC, so
// that a mistake has the same code, the same words and the same field at each door.
//
//	                    ┌──────────────── gateway ───────────────┐
//	curl ──REST────────►│ grpc-gateway, post.go ─────────────────┼─Post──► bus
//	browser ──SSE──────►│ messages.go ◄── subscription.go ◄──────┼─Attach─ bus
//	script ──WebSocket─►│ websocket.go ◄─────────────────────────┼─Attach─ bus
//	        ──REST─────►│ grpc-gateway (api/http.yaml) ──────────┼───────► registry
//	                    │ /openapi.json /docs /healthz /readyz   │
//	                    └────────────────────────────────────────┘
//
// A message is what it is on the wire (wire contract, section 2): natural JSON.
// Everything else is the JSON of its protobuf, with the names of the protos. What
// is not understood is refused, never passed over.
//
// # Streams
//
// GET /v1/messages is a subscription: an attachment to the bus with its listeners.
// It outlives the connection that it is written to, for Limits.Resume:
//
//	client                     gateway                                bus
//	 │ GET, address             │ subscription s, listeners            │
//	 │◄─ id s-0 (no event) ─────┤ from here on nothing is missed       │
//	 │◄─ id s-1, s-2, s-3 ──────┤ kept for whoever asks again          │
//	 │ ✂ (s-3 is lost)          │ handlers wait: nothing more is taken │
//	 │ GET, Last-Event-ID s-2   │                                      │
//	 │◄─ id s-3, s-4 … ─────────┤                                      │
//
// A newer connection ends the one before. What is not kept any more is told as an event
// `gap`. Lines of JSON have no ids: such a subscription ends with its connection.
//
// A message is dealt with, as its sender sees it, once it has been given to a
// connection. What no connection takes waits at the bus, whose window bounds it; when
// the subscription ends it comes to the next who listens, or its senders are told (503).
// A WebSocket's listener can say itself when it has dealt with each message; such a
// listener has one at a time, so that none comes again after a crash but the last.
//
// # Whose pages may use it
//
// A browser lets any page send requests to 127.0.0.1. Requests of a page of another
// origin are refused unless the origin is allowed, and on loopback so are those for
// the name of another host, which is how DNS rebinding looks (origin.go).
//
// Bounds are in Limits. Handler serves while Run runs; its streams end with Run.
package gateway
