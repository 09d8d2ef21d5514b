package main

import (
	"fmt"
	"slices"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// A direct connection that is old is replaced by a new one while messages go on:
// the entries of both sides are live all the time, and each message comes once and
// in order.
func TestAnOldConnectionIsReplacedWithoutAPause(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne, "--replace-after", "1s")
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 0))
	in.next()
	first := waitConnection(t, p.alice, p.bob.URL, live)
	waitConnection(t, p.bob, p.alice.URL, live)

	stubs := []string{first.StubUrl}
	for i, ctx := 1, testContext(t); len(stubs) < 3; i++ {
		post(t, p.alice, pingOf(p.aliceURL, p.bobURL, i))
		if m, want := in.next(), fmt.Sprintf(`{"value":%d}`, i); string(m.Body) != want {
			t.Fatalf("%s came, want %s", m.Body, want)
		}
		for _, r := range []*local.Runtime{p.alice, p.bob} {
			c := connections(t, r)[0]
			if !live(c) || c.Path == pb.Path_PATH_RELAY {
				t.Fatalf("%s: %v", r.URL, c)
			}
			if r == p.alice && !slices.Contains(stubs, c.StubUrl) {
				stubs = append(stubs, c.StubUrl)
			}
		}
		if !pause(ctx) {
			t.Fatalf("it is never replaced: %v", connections(t, p.alice))
		}
	}
}

// What a runtime's P2P stub loses by a kill comes back without any message.
func TestAConnectionComesBackWithoutAMessage(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.Separate, local.Separate)
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 0))
	in.next()
	for _, r := range []*local.Runtime{p.alice, p.bob} {
		waitConnection(t, p.alice, p.bob.URL, live)
		waitConnection(t, p.bob, p.alice.URL, live)
		r.Processes["p2pstub"].Kill()
		waitConnection(t, r, p.other(r).URL, func(c *pb.Connection) bool { return c.Path == pb.Path_PATH_RELAY })
		again, err := p.system.Restart(r.Processes["p2pstub"])
		if err != nil {
			t.Fatal(err)
		}
		r.Processes["p2pstub"] = again
		waitConnection(t, r, p.other(r).URL, live)
	}
	waitConnection(t, p.alice, p.bob.URL, live)
	waitConnection(t, p.bob, p.alice.URL, live)
	settle(t, p, in)
}

func (p *pair) other(r *local.Runtime) *local.Runtime {
	if r == p.alice {
		return p.bob
	}
	return p.alice
}
