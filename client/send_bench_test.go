package client

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// BenchmarkSend is what a message of 64 bytes costs from Send to a frame, and until it is
// settled.
func BenchmarkSend(b *testing.B) {
	bus, err := New(Config{Conn: &grpc.ClientConn{}})
	if err != nil {
		b.Fatal(err)
	}
	const each = 160 // about what a frame has
	body, now, w := make([]byte, 64), time.Now(), writer{sequels: true}
	from, to := "hyperty://example.org/sender", "hyperty://example.org/receiver"
	b.ReportAllocs()
	for n := range uint64(b.N) { //nolint:gosec // not negative
		if err := bus.Send(context.Background(), &pb.Message{Type: "create", From: from, To: to, Body: body}); err != nil {
			b.Fatal(err)
		}
		if n%each == each-1 {
			for f := bus.out.next(&w, now); f != nil; f = bus.out.next(&w, now) {
				f.Parts.Free()
			}
			bus.out.settle([]codec.Range{{First: n - each + 2, Last: n + 1}})
		}
	}
}
