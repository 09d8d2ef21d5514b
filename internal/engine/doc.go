// Package engine gives a NATS connection with JetStream: the storage and the
// transport between replicas.
//
//	URL empty                               URL set
//
//	┌─ this process ──────────────────┐     ┌─ this process ─┐
//	│ Conn ──pipe── embedded server   │     │ Conn           │── TCP ── NATS cluster
//	│               no port           │     └────────────────┘
//	└───────────────────│─────────────┘
//	                    ▼
//	        files under DataDir, locked
//
// There is no interface over NATS: a user takes Conn and JetStream as they are,
// and tests run on the embedded server.
//
// Invariants. An embedded server opens no port and handles no signal. Its
// directory belongs to one process at a time; a second Open is refused with a
// Conflict. What JetStream has acknowledged is in the file, so a killed process
// loses nothing; a machine that loses power may lose the last SyncInterval. After a
// write that failed, as on a full disk, the server takes none until it is started again,
// which it is once the directory takes writes (mend.go); what is there can be read.
//
// A cluster at URL may lose any server: the connection goes on to the next one, a bucket
// is kept by ClusterReplicas servers, and what cannot be done while a leader is chosen,
// or while servers start, is tried again (cluster.go). A server that hangs is left after
// some seconds.
//
// Limits: a message of NATS holds MaxPayload bytes. A server elsewhere is asked
// for its own; one that takes less than a message of the wire contract is said
// so in the log at start.
package engine
