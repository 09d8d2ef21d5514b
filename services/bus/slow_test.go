package bus

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// A stub that waits for a slow path says so, and is not in doubt: long messages go over
// the direct way alone, and take as long as their bytes.
func TestASlowPathIsNotInDoubt(t *testing.T) {
	for name, c := range map[string]struct{ rate, size, number, short, most int }{ // most seconds
		"1 Mbit/s, 64 KiB":    {125_000, 64 << 10, 60, 0, 35},
		"1 Mbit/s, 256 KiB":   {125_000, 256 << 10, 16, 0, 37},
		"1 Mbit/s, 1 MiB":     {125_000, 1 << 20, 4, 0, 37},
		"and short ones":      {125_000, 1 << 20, 4, 300, 38},
		"256 kbit/s, 64 KiB":  {32_000, 64 << 10, 20, 0, 45},
		"256 kbit/s, 256 KiB": {32_000, 256 << 10, 8, 0, 80},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newAcquainted(t)
				ctx, cancel := context.WithCancel(t.Context())
				var looking sync.WaitGroup
				looking.Go(func() { s.bus.flows.run(ctx) })
				defer looking.Wait()
				defer cancel()
				stub := waitingStub{strait: s, rate: c.rate}
				began := time.Now()
				for range c.number {
					s.post(1, bob, strings.Repeat("x", c.size))
				}
				for i := 0; len(s.got[bob])+len(s.got[dave]) < 1+c.number+c.short && time.Since(began) < 10*time.Minute; i++ {
					if i%5 == 0 && i/5 < c.short {
						s.post(1, dave, "")
					}
					stub.pass(10 * time.Millisecond)
					s.crossRelay()
					s.arrive(s.leave(farther, overDirect, 0)...)
					s.deal(s.listeners[1], 1000)
					for _, o := range s.bus.flows.out {
						if o.stalled {
							t.Fatalf("it is in doubt after %s", time.Since(began))
						}
					}
				}
				if took := time.Since(began); took > time.Duration(c.most)*time.Second {
					t.Errorf("it took %s", took)
				}
				if most := c.number*(c.size+1000) + c.short*1000; stub.sent > most {
					t.Errorf("%d bytes have left, of %d", stub.sent, most)
				}
				s.over()
			})
		})
	}
}

// waitingStub is a p2pstub with a slow path: it takes a message when there is room, and gives
// some credit while one waits.
type waitingStub struct {
	*strait
	rate         int            // bytes a second
	from         []*pb.Delivery // the bus
	queue        []*pb.Delivery
	bytes, early int // of queue; of the first of from that credit was given for
	since        time.Time
	left         int // bytes of the first of queue that have left
	sent         int // bytes in all
}

func (w *waitingStub) pass(d time.Duration) {
	const room, sign, short = 256 << 10, 250 * time.Millisecond, 8 << 10 // those of a p2pstub
	stub := w.stubs[near][overDirect]
	for _, resp := range framesOf(w.t, stub) {
		w.from = append(w.from, resp.Deliveries...)
	}
	credit := func(n int) { stub.credit(&pb.Credit{Listener: connURL, Bytes: uint32(n)}) } // small
	for ; len(w.from) > 0; w.from = w.from[1:] {
		size := proto.Size(w.from[0].Message)
		if w.bytes >= room && size >= short || w.bytes >= 2*room {
			break
		}
		credit(size - w.early)
		w.queue, w.bytes, w.early, w.since = append(w.queue, w.from[0]), w.bytes+size, 0, time.Now()
	}
	if len(w.from) > 0 && time.Since(w.since) >= sign {
		credit(1)
		w.early, w.since = w.early+1, time.Now()
	}
	for budget := int(d.Seconds() * float64(w.rate)); budget > 0 && len(w.queue) > 0; {
		m := w.queue[0].Message
		n := min(budget, proto.Size(m)-w.left)
		budget, w.left, w.bytes, w.sent = budget-n, w.left+n, w.bytes-n, w.sent+n
		if w.left == proto.Size(m) {
			w.arrive(crossing{from: near, way: overDirect, messages: []*pb.Message{m}})
			w.queue, w.left = w.queue[1:], 0
		}
	}
}

// What another replica has taken for its stub has credit when it has arrived, however long
// that takes: nothing hangs.
func TestAnotherReplicaIsNotInDoubt(t *testing.T) {
	s := newStream(newAlone(t, Limits{}).bus, "", pb.Component_COMPONENT_BUS)
	in := &inbox{stream: s, underWay: 1}
	if !in.intake().open {
		t.Error("a stub here has not taken it")
	}
	if s.peer = "another"; in.intake().open {
		t.Error("another replica is in doubt")
	}
}
