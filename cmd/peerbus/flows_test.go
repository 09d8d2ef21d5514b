package main

import (
	"testing"

	"github.com/peerbus/peerbus/internal/local"
)

// A runtime that is to use no flows sends plain messages to one that knows them, over
// both ways, and takes what that one sends in a flow.
func TestARuntimeWithoutFlows(t *testing.T) {
	s := newSystem(t)
	node := startNode(t, s)
	p := &pair{
		system: s, node: node,
		alice: startRuntime(t, s, "alice", local.AllInOne, []*local.Node{node}, "--flows=false"),
		bob:   startRuntime(t, s, "bob", local.AllInOne, []*local.Node{node}),
	}
	p.ready(t)
	atBob, atAlice := listen(t, p.bob, p.bobURL), listen(t, p.alice, p.aliceURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 0))
	atBob.next()
	waitConnection(t, p.alice, p.bob.URL, live)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 1))
	atBob.next()
	post(t, p.bob, pingOf(p.bobURL, p.aliceURL, 2))
	atAlice.next()
	const sent = "peerbus_bus_flow_sent_total"
	if n := counter(t, p.alice.MetricsAddrs["runtime"], sent); n != 0 {
		t.Errorf("Alice's sent %d messages in flows", n)
	}
	if n := counter(t, p.bob.MetricsAddrs["runtime"], sent); n == 0 {
		t.Error("Bob's sent none in a flow")
	}
}
