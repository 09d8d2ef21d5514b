// Package beside is for benchmarks that compare what we have with a plain Go map of a
// million addresses. The command bench runs them, and takes the two figures of each line
// for both sides of a round; `go test -bench` shows them too.
package beside
