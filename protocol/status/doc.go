// Package status is the state of a P2P connection, and how a stub publishes it
// (wire contract, section 8).
//
//	     ┌─────────┐   ┌─────────────┐   ┌──────┐   ┌──────────────┐
//	──►  │ created ├──►│ in-progress ├──►│ live │◄─►│ disconnected ├──► gone
//	     └────┬────┘   └──────┬──────┘   └──────┘   └──────────────┘
//	          └───► failed ◄──┘
//
// A stub posts each change, `create` for the first and `update` for the others,
// from its own address to `<stubURL>/status`. The registry listens there and
// keeps the table of connections.
//
// Everything here is a pure value: a table of states and a codec.
package status
