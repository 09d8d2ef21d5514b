// Package load is what a process does at one end of a way over which messages go: it
// sends, counts what comes, and asks and waits for the answer. What the way is made of,
// peerbus or a raw library, is an End; all else is the same for both sides of a
// comparison.
//
//	parent ── await 1000 ──► receiver        counts; answers with the time of the 1000th
//	       ── send 1000 ───► sender          one message to a call of Send; answers with
//	                                         the time before the first
//
// The times are by the one monotonic clock of the machine.
package load
