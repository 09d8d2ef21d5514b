package bus

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// BenchmarkOut is the way of plain posts to another runtime through the bus alone: read
// from frames, into a flow, out of it in frames for a stub, acked and settled.
func BenchmarkOut(b *testing.B) {
	for _, size := range []int{64, 1 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkOut(b, size) })
	}
}

func benchmarkOut(b *testing.B, size int) {
	a := newAlone(b, Limits{})
	defer a.finish()
	a.approve(alice)
	stub := newStream(a.bus, "stub", pb.Component_COMPONENT_P2P_STUB)
	stub.frame.Leaves = &stub.leaves
	const conn = "hyperty-runtime://a.example/r/p2pconnection/1"
	if err := a.bus.addListener(stub, &pb.ListenerChange{Address: conn}); err != nil {
		b.Fatal(err)
	}
	a.bus.table.learn(bob, &pb.Route{To: bob, Next: conn, Relay: nodeURL, RuntimeUrl: remote, Flow: pb.FlowUse_FLOW_USE_ANNOUNCED}, false)
	sender := newStream(a.bus, "sender", pb.Component_COMPONENT_APPLICATION)
	if err := a.bus.origins.attach(sender, []byte("an origin of 16 B")); err != nil {
		b.Fatal(err)
	}
	m := &pb.Message{Id: message.StringID(strings.Repeat("i", 20)), Type: "create", From: alice, To: bob, Body: []byte(`{"value":"` + strings.Repeat("x", size-12) + `"}`)}
	post, err := proto.Marshal(&pb.Post{Message: m})
	if err != nil {
		b.Fatal(err)
	}
	posts := min(44, frameBytes/len(post)) // what a client has in a frame
	req := &codec.Request{Room: 64}
	number, acked := uint64(0), uint64(0)
	var frame []byte
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += posts {
		frame = frame[:0]
		for range posts {
			number++
			frame = append(codec.AppendHead(frame, codec.Head{Number: number}, len(post)), post...)
		}
		if err := (codec.GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(frame)}, req); err != nil {
			b.Fatal(err)
		}
		sender.takeRequest(req)
		req.Clear()
		for f, _ := stub.take(); f != nil; f, _ = stub.take() {
			parts, err := codec.GRPC{}.Marshal(f)
			if err != nil {
				b.Fatal(err)
			}
			parts.Free()
		}
		if number-acked >= 100 {
			stub.credit(&pb.Credit{Listener: conn, Bytes: 1 << 20})
			for _, o := range a.bus.flows.out {
				acked = number - 7
				o.acked(&pb.FlowAck{Epoch: o.id.Epoch, Id: o.id.Number, Receiver: 1, Received: acked, Dealt: acked - 30})
			}
			for f, _ := sender.take(); f != nil; f, _ = sender.take() {
			}
		}
	}
}
