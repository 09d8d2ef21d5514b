// Command bench measures peerbus beside what a reader knows: grpc-go, NATS, pion and a Go
// map, on this machine, in the same run.
//
//	go run . -bin ../bin/peerbus [-run REGEXP] [-rounds 7] [-short] [-o table|json|markdown|planning]
//	go run . -bin ../bin/peerbus -growth [-run REGEXP] [-plot DIR]
//	go run . -from FILE [-growth] [-o markdown|planning] [-json FILE] [-plot FILE]
//	go run . -bin ../bin/peerbus -run CASE [-profile DIR] [-top DIR [-note TEXT]]
//
//	┌ bench ────────────────────────────────────────────────────────────────────────┐
//	│ cases: what, beside what, ratio to reach                                       │
//	│ round: ours, baseline │ baseline, ours │ …           report: table, JSON, plot │
//	└──┬──────────────────────────────────────┬──────────────────────────────────────┘
//	   │ ours                                 │ baseline
//	┌──▼──────────────────────────────┐    ┌──▼─────────────────────────────────────┐
//	│ peerbus bus, registry, p2pstub, │    │ bench worker: a server on the raw      │
//	│ nodestub, msgnode, as they ship │    │ library                                │
//	│ bench worker: sender, receiver  │    │ bench worker: sender, receiver         │
//	└─────────────────────────────────┘    └────────────────────────────────────────┘
//
// Both sides run at the same time, and are measured one after the other, in turns
// (package round). CPU time, allocations and memory are of all processes of a side, the
// clients among them.
//
// The exit status is 1 when a case could not run. A ratio that is missed changes nothing
// of it: it is a figure. What is not built yet is a row without figures.
//
// Without -run and -short the cases of the table run. The others take minutes in which
// little is measured: `make bench-return` names them.
package main
