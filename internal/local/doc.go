// Package local runs a whole domain on this machine, as processes of the
// peerbus program on loopback: the demo does, and so do the tests that want
// what ships.
//
//	System ── Node      one process: msgnode
//	       ├─ Runtime   four processes: registry, bus, p2pstub, nodestub; gateway at will
//	       └─ Runtime   or one process: runtime
//
// Every process logs in JSON at debug level; System gathers the lines as events
// of package sequence. Close ends all processes and waits for them.
package local
