package client

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

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
	for n := range uint64(b.N) { // not negative
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

// BenchmarkReceive is what a message of 64 bytes costs from a frame to its handler, which
// borrows it, and until credit is given.
func BenchmarkReceive(b *testing.B) {
	bus, err := New(Config{Conn: &grpc.ClientConn{}})
	if err != nil {
		b.Fatal(err)
	}
	const from, to, each = "hyperty://example.org/sender", "hyperty://example.org/receiver", 64
	handled := 0
	l := &Listener{
		bus: bus, address: to, window: DefaultLimits().Window, wake: make(chan struct{}, 1), ctx: b.Context(), running: true,
		handle: func(context.Context, string, *codec.Delivered) { handled++ },
	}
	Borrowed()(l)
	bus.listeners[to] = l
	s := &stream{bus: bus, in: codec.Received{Lends: bus.lends}}
	bus.marks = nil // the frame is the same each time
	ids, d := newIDs(), &pb.Delivery{Listener: to}
	for n := range uint64(each) {
		id := string(ids.of(n + 1))
		if n == 0 {
			d.Message = &pb.Message{Id: id, Type: "create", From: from, To: to, Body: make([]byte, 64), Origin: make([]byte, 16), Number: 1}
		} else {
			d.Sequels = append(d.Sequels, &pb.Message{Id: id, Body: d.Message.Body})
		}
	}
	raw, err := proto.Marshal(&pb.AttachResponse{Deliveries: []*pb.Delivery{d}})
	if err != nil {
		b.Fatal(err)
	}
	frame := mem.BufferSlice{mem.SliceBuffer(raw)}
	var batch inbox
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N/each + 1 {
		if err := (codec.GRPC{}).Unmarshal(frame, &s.in); err != nil {
			b.Fatal(err)
		}
		s.receive()
		batch, _ = l.take(batch)
		l.handleAll(l.ctx, &batch)
		l.giveAllBack(false)
	}
	if handled < b.N {
		b.Errorf("%d were handled", handled)
	}
}
