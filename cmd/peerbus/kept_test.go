package main

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/peerbus/peerbus/client"
	"github.com/peerbus/peerbus/internal/local"
)

// attachTo runs an attachment to the bus of a runtime.
func attachTo(t *testing.T, r *local.Runtime) *client.Bus {
	t.Helper()
	b, err := client.New(client.Config{Conn: r.Bus, Name: t.Name(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	return b
}

// Whichever bus is killed on the way, each message comes once and in order: those
// that were accepted, and those whose post was outstanding.
func TestAKilledBusLosesNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.Separate, local.Separate)
	for name, to := range map[string]*local.Runtime{"within a runtime": p.alice, "to another runtime": p.bob} {
		t.Run(name, func(t *testing.T) {
			var x crossing
			x.start(t, name, newEnd(t, p.alice, "from"), newEnd(t, to, "to"), time.Microsecond) // without a pause
			for i := range 5 {
				c := x.courses[0]
				c.await(testContext(t), t, c.numbers()+80)
				restartBus(t, p.system, []*local.Runtime{p.alice, to}[i%2])
			}
			x.end(t, testContext)
		})
	}
}

func restartBus(t *testing.T, s *local.System, r *local.Runtime) {
	t.Helper()
	r.Processes["bus"].Kill()
	again, err := s.Restart(r.Processes["bus"])
	if err != nil {
		t.Fatal(err)
	}
	r.Processes["bus"] = again
	ready(t, r)
}
