// Package message is the one place between the JSON message of the wire
// contract (section 2), its protobuf form and Go.
//
// *peerbusv1.Message is the type that everything hands on; this package parses
// it from JSON, writes it as JSON, validates it, and builds the answers to it.
//
// What came in goes out: the id keeps its JSON text, and the body its bytes.
// There is one exception. `via` says by which stub a message came in, so each
// hop writes its own: Parse takes it out of the body, and AppendJSON puts it
// back in.
package message
