// Command measure measures what one session, record, message, write and connection
// costs on this machine, and writes it for sim/capacity:
//
//	this process ── clients ──► peerbus msgnode (2) ──► NATS servers (1 or 3)
//	             └─ clients ──► peerbus registry, bus, p2pstub, nodestub; runtimes
//
// Memory is what the kernel says is resident, or the live heap after a collection.
// CPU time is that of the process, user and system, from the kernel: other work on
// the machine changes it little, where it changes rates and latencies much. Each part
// takes at most some minutes and ends by itself; -only chooses parts, and the others
// keep what the file has. Linux.
package main
