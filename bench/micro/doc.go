// Package micro takes the two sides of a comparison from a benchmark that stands beside
// the code, since what it measures is of no use to other packages:
//
//	BenchmarkResolveMillion-2   1000000   2324 ns/op   628.1 map-ns/address   4012 ours-ns/address
//
// One process runs it as often as there are rounds. Each of its lines is a round, in
// which the benchmark itself has asked both sides in turns (internal/beside).
package micro
