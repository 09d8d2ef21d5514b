package main

import (
	"testing"

	"github.com/peerbus/peerbus/internal/local"
)

// Two domains. Alice's runtime is told of its own Message Node alone: Bob's
// domain is looked up at its well-known descriptor.
func TestADomainIsLookedUp(t *testing.T) {
	t.Parallel()
	system := newSystem(t)
	home := startNode(t, system)
	abroad := startNodeOf(t, system, "")
	p := &pair{system: system, node: home}
	p.alice = startRuntime(t, system, "alice", local.Separate, []*local.Node{home})
	p.bob = startRuntime(t, system, "bob", local.AllInOne, []*local.Node{abroad, home})
	p.ready(t)
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 1))
	if m := in.next(); pathOf(m) != relayed {
		t.Errorf("the first message came over the %s", pathOf(m))
	}
	waitConnection(t, p.alice, p.bob.URL, live)
	waitConnection(t, p.bob, p.alice.URL, live)
	settle(t, p, in)
	back := listen(t, p.alice, p.aliceURL)
	post(t, p.bob, pingOf(p.bobURL, p.aliceURL, 2))
	back.next()
}

// With --nats-url the Message Node and the registries keep their state in an
// existing NATS, which they share.
func TestAnExistingNATS(t *testing.T) {
	url := []string{"--nats-url", startNATS(t)}
	system := newSystem(t)
	node := startNode(t, system, url...)
	p := &pair{system: system, node: node}
	p.alice = startRuntime(t, system, "alice", local.AllInOne, []*local.Node{node}, url...)
	p.bob = startRuntime(t, system, "bob", local.AllInOne, []*local.Node{node}, url...)
	p.ready(t)
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 1))
	in.next()
	waitConnection(t, p.alice, p.bob.URL, live)
}
