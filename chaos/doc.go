// Command chaos breaks everything between two runtimes while numbered messages
// travel both ways, and counts what was lost, doubled or reordered.
//
// It needs Linux, root, and the programs ip and nft. What it makes is gone when it
// ends. Network namespaces carry its process id in their names; those that a killed
// run has left behind are removed by the next.
//
//	┌────────── namespace alice ──────────┐     ┌─────────── namespace bob ───────────┐
//	│ registry   bus   p2pstub   nodestub │     │ registry   bus   p2pstub   nodestub │
//	│             │                       │     │             │                       │
//	│   node      │                 link  │     │   node      │                 link  │
//	└─────┬───────┼───────────────────┬───┘     └─────┬───────┼───────────────────┬───┘
//	 veth │       │               tun │          veth │       │               tun │
//	      │ ┌─────┴───────────────────┴───────────────┼───────┴───────────────────┴──┐
//	      │ │ chaos: clients of both buses; and the link program, which passes       │
//	      │ │ packets on from tun to tun, or late, or not at all                     │
//	      │ └─────────────────────────────────────────┼──────────────────────────────┘
//	┌─────┴──────────────── namespace node ───────────┴──────┐
//	│   alice               msgnode                  bob     │
//	└────────────────────────────────────────────────────────┘
//
// A run goes: the stage is set up (world.go); traffic begins and is waited for
// until it is direct both ways (traffic.go); the faults of a schedule that a seed
// decides (schedule.go) begin and heal (faults.go); traffic goes on until it is
// direct again; it stops, and what is still under way may arrive; the judge
// (internal/numbered) says what it saw, fault by fault (report.go, table.go).
//
// Three modes: faults (the default), -switch (switch.go: what a switch from one
// path to the other costs) and -stall (stall.go: what a listener that stops reading
// costs).
//
// Who owns what: a process belongs to its supervisor goroutine (processes.go), a
// direction of the link to one reader and one writer (internal/netlab), a pair of
// addresses to one poster (traffic.go); the judge has a lock of its own and is
// told by all. Invariants: a message is judged by what its poster was told and by
// what its listener was handed, and by nothing that peerbus says about itself.
package main
