package main

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"testing"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
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
	p := newPair(t, local.Separate, local.Separate)
	carolURL := register(t, p.alice, "carol")
	for name, c := range map[string]conversation{
		"within a runtime":   {p.alice, p.alice, p.aliceURL, carolURL},
		"to another runtime": {p.alice, p.bob, p.aliceURL, p.bobURL},
	} {
		t.Run(name, func(t *testing.T) { c.outlivesItsBuses(t, p.system) })
	}
}

// conversation is a listener and who posts to it.
type conversation struct {
	from, to       *local.Runtime
	fromURL, toURL string
}

func (c conversation) outlivesItsBuses(t *testing.T, s *local.System) {
	const messages, each = 400, 80 // a bus is killed after each so many
	ctx := testContext(t)
	came := make(chan string, messages)
	_, err := attachTo(t, c.to).Listen(ctx, c.toURL, func(_ context.Context, m *pb.Message) { came <- m.Id })
	if err != nil {
		t.Fatal(err)
	}
	posted := c.post(ctx, attachTo(t, c.from), messages)
	killed := []*local.Runtime{c.from, c.to}
	for i := range messages {
		if i%each == each/2 {
			restartBus(t, s, killed[i/each%2])
		}
		select {
		case id := <-came:
			if id != strconv.Itoa(i) {
				t.Fatalf("%s came, want %d", id, i)
			}
		case <-ctx.Done():
			t.Fatalf("%d does not come", i)
		}
	}
	if err := <-posted; err != nil {
		t.Errorf("Post: %v", err)
	}
}

func (c conversation) post(ctx context.Context, b *client.Bus, messages int) (over <-chan error) {
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < messages && err == nil; i++ {
			m := numbered(c.fromURL, c.toURL, i)
			m.Id = strconv.Itoa(i)
			err = b.Post(ctx, m)
		}
		done <- err
	}()
	return done
}

func restartBus(t *testing.T, s *local.System, r *local.Runtime) {
	t.Helper()
	r.Processes["bus"].Kill()
	again, err := s.Restart(r.Processes["bus"])
	if err != nil {
		t.Fatal(err)
	}
	r.Processes["bus"] = again
	if err := r.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
}
