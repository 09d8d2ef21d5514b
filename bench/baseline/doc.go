// Package baseline has the other sides: small programs on the raw libraries, each with
// the best settings that were found for it. What was tried stands where the settings
// are.
//
//	client ─► server ─► other client      Relay: grpc-go, one message to a frame
//	publisher ─► server ─► subscriber     NATS
//	peer ═ data channel ═ peer            Pion: pion v3
package baseline
