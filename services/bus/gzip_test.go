package bus

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Who compresses what it posts, and reads nothing, does not keep others from posting: what
// gRPC has to send it is known.
func TestAListenerThatCompressesHoldsNobodyUp(t *testing.T) {
	h := newHouse(t, Limits{})
	ctx, cancel := context.WithTimeout(h.ctx, 20*time.Second)
	defer cancel()
	deaf, err := pb.NewMessageBusClient(h.conn()).Attach(ctx, grpc.UseCompressor(gzip.Name))
	if err != nil {
		t.Fatal(err)
	}
	if err := deaf.Send(&pb.AttachRequest{Hello: &pb.Hello{Name: "deaf"}, Listeners: []*pb.ListenerChange{
		{Sequence: 1, Address: carol, Window: 1 << 30},
	}}); err != nil {
		t.Fatal(err)
	}
	h.until("the listener", func() bool { return h.bus.table.heard(carol) })
	by, err := pb.NewMessageBusClient(h.conn()).Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := by.Send(&pb.AttachRequest{Hello: &pb.Hello{Name: "poster"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := by.Recv(); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(200) { // more than flow control and gRPC's buffers take
		m, noise := numbered(alice, carol, int(i)), make([]byte, 1500) // small
		_, _ = rand.Read(noise)
		m.Body = fmt.Appendf(nil, `{"noise":"%s"}`, hex.EncodeToString(noise))
		if err := by.Send(&pb.AttachRequest{Posts: []*pb.Post{{Sequence: i + 1, Message: m, Wait: pb.Wait_WAIT_ACCEPTED}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := by.Recv(); err != nil {
			t.Fatalf("after %d messages: %v", i, err)
		}
	}
}
