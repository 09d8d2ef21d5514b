// Package sequence knows the steps of reTHINK's two diagrams, "P2P connection
// set-up" and "registration for the handler", and finds them in the trace of a
// run.
//
// A trace is the debug log of every process, in JSON. Each arrow of a diagram is
// one log line of the function that it stands for; ARCHITECTURE.md names that
// function. A is the runtime that starts the connection, B the one that
// accepts it.
//
// A step that has been found stands after the step that caused it. Find says
// which steps were found and when; Check says which are missing, or out of
// order.
package sequence
