// Package round measures two sides beside one another, and says how they compare. It
// knows nothing of processes: a Side gives a Sample, whatever it does for it.
//
//	round 1   ours      baseline      ratio of the two
//	round 2   baseline  ours          ratio of the two
//	round 3   ours      baseline      …
//
// What disturbs the machine for some seconds disturbs both sides of a round, so the
// ratio is taken within a round, and its median is what a goal is held against.
package round
