package client

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// What comes while a goroutine ends is handled by another one, which alone counts then:
// each message gives its credit back once.
func TestAGoroutineThatEndsLeavesTheNextOneAlone(t *testing.T) {
	limits := DefaultLimits()
	limits.Rest = 1
	b := &Bus{cfg: Config{Limits: limits}, out: newOutbox(limits, newLedger(true, 1<<20, time.Now()))}
	var handled atomic.Int64
	l := &Listener{bus: b, window: 1 << 20, wake: make(chan struct{}, 1), handle: func(context.Context, string, *codec.Delivered) { handled.Add(1) }}
	ctx, end := context.WithCancel(t.Context())
	var w workers
	l.start(ctx, &w)
	const many = 20_000
	for i := range many {
		name := fmt.Sprint("name", i%3)
		l.push(group{name: name, length: 1}, []codec.Delivered{{Carried: codec.Bare(&pb.Message{Id: "1"}), Size: 1}})
		for range i % 7 {
			runtime.Gosched()
		}
	}
	for handled.Load() < many {
		runtime.Gosched()
	}
	end()
	w.end()
	given := func() (credit uint32) {
		b.out.mu.Lock()
		defer b.out.mu.Unlock()
		for _, c := range b.out.credits.all {
			credit += c.bytes
		}
		return credit
	}
	for late := time.Now().Add(10 * time.Second); given() < many && time.Now().Before(late); { // a timer may still give some
		runtime.Gosched()
	}
	if n := given(); n != many {
		t.Errorf("%d bytes of credit are given for %d", n, many)
	}
}
