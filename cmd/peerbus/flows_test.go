package main

import (
	"testing"

	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/protocol/message"
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

// An address below a runtime's URL, which nobody subscribes, is answered over the Message
// Node as over a data channel: the answer comes, or the word that nobody listens. Nothing
// behind either waits for it.
func TestBelowARuntimesURLOverTheNode(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne, "--p2p", "never")
	go answerAll(listen(t, p.bob, p.bobURL), p.bob)
	for i, from := range []string{p.aliceURL, p.alice.URL + "/x", p.alice.URL + "/x/y", p.aliceURL} {
		if resp := request(t, p.alice, pingOf(from, p.bobURL, i)); resp.To != from {
			t.Errorf("%v", resp)
		}
	}
	below := p.bob.URL + "/x"
	go answerAll(listen(t, p.bob, below), p.bob)
	if resp := request(t, p.alice, pingOf(p.aliceURL, below, 4)); resp.From != below {
		t.Errorf("%v", resp)
	}
	resp := request(t, p.alice, pingOf(p.aliceURL, p.bob.URL+"/nobody", 5))
	if code, _ := message.Result(resp); code != 404 {
		t.Errorf("%v", resp)
	}
	if resp := request(t, p.alice, pingOf(p.aliceURL, p.bobURL, 6)); resp.From != p.bobURL {
		t.Errorf("%v", resp)
	}
}
