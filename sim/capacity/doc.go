// Command capacity lays out the Message Node of a domain with many runtimes, and
// prints the tables of docs/capacity.md.
//
//	sim/cost/costs.json ── what one thing costs, measured ─┐
//	life:  runtimes live, at the node's own directory, ────┼──► plan: replicas, memory, CPU,
//	       index and sessions; how often is what written?  │    network of a domain of any size
//	herd:  a tenth of them lose their connections at once, ┘──► how long until all are back
//	       with the nodestub's backoff, the node's pace, a
//	       store with a queue; or a replica dies
//
// What is counted comes from the code that runs in a node (msgnode.Model): which
// writes an open, a subscription, a keep-alive makes, and how many bytes they are. What
// a write, a message, a byte costs is measured (sim/measure). The rest, such as how
// many messages a runtime sends, is assumed: each assumption is a flag, with its
// reason. A run with the same flags and costs gives the same tables.
package main
