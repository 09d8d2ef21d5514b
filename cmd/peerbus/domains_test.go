package main

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/peerbus/peerbus/internal/local"
)

// Two domains. Alice's runtime is told of its own Message Node alone: Bob's
// domain is looked up at its well-known descriptor.
func TestADomainIsLookedUp(t *testing.T) {
	system := newSystem(t)
	home := startNode(t, system)
	abroad, err := system.StartNode("")
	if err == nil {
		err = abroad.Ready(testContext(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{system: system, node: home}
	p.alice = startRuntime(t, system, "alice", local.Separate, []*local.Node{home})
	p.bob = startRuntime(t, system, "bob", local.AllInOne, []*local.Node{abroad, home})
	for _, r := range []*local.Runtime{p.alice, p.bob} {
		if err := r.Ready(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	p.aliceURL, p.bobURL = register(t, p.alice, "alice"), register(t, p.bob, "bob")
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, numbered(p.aliceURL, p.bobURL, 1))
	if m := in.next(); pathOf(m) != relayed {
		t.Errorf("the first message came over the %s", pathOf(m))
	}
	waitConnection(t, p.alice, p.bob.URL, live)
	waitConnection(t, p.bob, p.alice.URL, live)
	settle(t, p, in)
	back := listen(t, p.alice, p.aliceURL)
	post(t, p.bob, numbered(p.bobURL, p.aliceURL, 2))
	back.next()
}

// With --nats-url the Message Node and the registries keep their state in an
// existing NATS, which they share.
func TestAnExistingNATS(t *testing.T) {
	nats, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(),
		NoLog: true, NoSigs: true, MaxPayload: 8 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	t.Cleanup(func() {
		nats.Shutdown()
		nats.WaitForShutdown()
	})
	if !nats.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	system := newSystem(t)
	node, err := system.StartNode("example.org", "--nats-url", nats.ClientURL())
	if err == nil {
		err = node.Ready(testContext(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{system: system, node: node}
	url := []string{"--nats-url", nats.ClientURL()}
	p.alice = startRuntime(t, system, "alice", local.AllInOne, []*local.Node{node}, url...)
	p.bob = startRuntime(t, system, "bob", local.AllInOne, []*local.Node{node}, url...)
	for _, r := range []*local.Runtime{p.alice, p.bob} {
		if err := r.Ready(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	p.aliceURL, p.bobURL = register(t, p.alice, "alice"), register(t, p.bob, "bob")
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, numbered(p.aliceURL, p.bobURL, 1))
	in.next()
	waitConnection(t, p.alice, p.bob.URL, live)
}
