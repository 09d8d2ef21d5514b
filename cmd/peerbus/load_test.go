package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/protocol/message"
)

// A sender that is faster than the path is held back, not refused: all that it
// sends over a live connection arrives, once and in order, whatever its size.
func TestAFastSenderLosesNothing(t *testing.T) {
	p := newPair(t, local.Separate, local.AllInOne)
	warm := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 0))
	warm.next()
	waitConnection(t, p.alice, p.bob.URL, live)
	settle(t, p, warm)
	warm.close()

	from, to := attach(t, p.alice), attach(t, p.bob)
	for size, n := range map[int]int{64: 5000, 16 << 10: 600, 300 << 10: 40} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			got := make(chan *pb.Message, 64)
			l, err := to.Listen(testContext(t), p.bobURL, func(ctx context.Context, m *pb.Message) {
				select {
				case got <- m:
				case <-ctx.Done():
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			go sendAll(t, from, p, n, strings.Repeat("x", size))
			for i := range n {
				var body struct{ Value int }
				select {
				case m := <-got:
					if err := message.UnmarshalBody(m, &body); err != nil || body.Value != i {
						t.Fatalf("message %d is %.80s, %v", i, m.Body, err)
					}
				case <-time.After(patience): // each has its own: all may take longer
					t.Fatalf("message %d does not come", i)
				}
			}
			if err := l.Close(testContext(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// attach keeps an attachment until the test ends.
func attach(t *testing.T, r *local.Runtime) *client.Bus {
	t.Helper()
	bus, err := client.New(client.Config{Conn: r.Bus, Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- bus.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return bus
}

func sendAll(t *testing.T, bus *client.Bus, p *pair, n int, padding string) {
	for i := range n {
		err := bus.Send(t.Context(), &pb.Message{
			Type: "ping", From: p.aliceURL, To: p.bobURL,
			Body: []byte(fmt.Sprintf(`{"value":%d,"padding":%q}`, i, padding)),
		})
		if err != nil {
			t.Errorf("sending message %d: %v", i, err)
			return
		}
	}
}
