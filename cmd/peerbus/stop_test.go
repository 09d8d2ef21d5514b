package main

import (
	"testing"

	"github.com/peerbus/peerbus/internal/local"
)

// A runtime at rest that is told to stop has nothing to warn of, with a live
// connection too; nor has a Message Node that nobody uses.
func TestANormalStopWarnsOfNothing(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 1))
	in.next()
	waitConnection(t, p.alice, p.bob.URL, live)
	settle(t, p, in)
	in.close()
	for _, stopped := range []struct {
		process *local.Process
		runtime string // of its log; none is the Message Node's
	}{
		{p.alice.Processes["runtime"], p.alice.URL}, {p.bob.Processes["runtime"], p.bob.URL}, {p.node.Process, ""},
	} {
		before := len(p.system.Events())
		if err := stopped.process.Stop(); err != nil {
			t.Fatal(err)
		}
		for _, e := range p.system.Events()[before:] {
			if level := e.Attrs["level"]; e.Runtime == stopped.runtime && (level == "WARN" || level == "ERROR") {
				t.Errorf("%s: %s %s: %s %v", stopped.process.Name, level, e.Service, e.Message, e.Attrs)
			}
		}
	}
}
