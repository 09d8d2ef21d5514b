// Package fault is the one kind of error that crosses a boundary of peerbus.
//
// A fault has a code with HTTP's meaning (wire contract, section 2), so that the
// same mistake looks the same in a response message, over gRPC and on the
// command line. Over gRPC the code travels as the nearest gRPC code and in the
// text of the status; From reads both back. What is lost on the way is the
// wrapped cause: it is for the log of the process where it happened.
package fault
