package bus

import (
	"runtime"
	"testing"
	"time"
)

// waitingFlow is a flow with a message that a pump would put into the inbox of a stream.
func (a *alone) waitingFlow(t *testing.T, way string) (*outflow, *stream) {
	s := a.stream(t, way, 0)
	o := a.bus.flows.newOut()
	o.hint.Store(&ways{relay: way})
	o.sender.Announce(time.Now())
	p := newPost(a.by, numbered(alice, bob, 1))
	p.measure()
	if taken, err := o.offer(p); !taken {
		t.Fatal("the flow takes nothing", err)
	}
	return o, s
}

// What a post of a frame brings about while the frame's flows are sent, on another
// goroutine as its source is approved just then, is sent too.
func TestAFlowThatComesAtTheEndOfABurst(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.bus.flows.end()
	first, _ := a.waitingFlow(t, nodeURL)
	late, s := a.waitingFlow(t, connURL)
	var b burst
	b.begin()
	if !b.addFlow(first) {
		t.Fatal("nothing is gathered")
	}
	first.mu.Lock() // it takes a while to send
	over := make(chan struct{})
	go func() {
		defer close(over)
		b.end()
	}()
	for begun := false; !begun; runtime.Gosched() {
		b.mu.Lock()
		begun = len(b.flows) == 0
		b.mu.Unlock()
	}
	gathered := b.addFlow(late)
	first.mu.Unlock()
	<-over
	if !gathered {
		late.pump()
	}
	if got := taken(s); len(got) != 1 {
		t.Errorf("%v was sent", got)
	}
}
