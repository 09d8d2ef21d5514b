// Package rpc is the one place where gRPC servers, connections and TLS are
// made.
//
// Every listener and every connection of a process has the same Security: plain
// on loopback, TLS with a certificate, mutual TLS with a CA besides. A listener
// that others could reach without TLS is refused unless Insecure says that this
// is meant.
package rpc
