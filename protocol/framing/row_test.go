package framing_test

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/framing"
)

func withRows() framing.Options {
	o := withSequels()
	o.Rows = true
	return o
}

// delivered gives messages as a bus hands them to a stub: those that follow each other are a row.
func delivered(t interface{ Fatal(...any) }, messages []*pb.Message) codec.Carried {
	d := &pb.Delivery{Listener: "l", Message: messages[0]}
	for _, m := range messages[1:] {
		d.Sequels = append(d.Sequels, &pb.Message{Id: m.Id, Body: m.Body})
	}
	b, err := proto.Marshal(&pb.AttachResponse{Deliveries: []*pb.Delivery{d}})
	if err != nil {
		t.Fatal(err)
	}
	got := codec.Received{Whole: true}
	if err := (codec.GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &got); err != nil {
		t.Fatal(err)
	}
	return got.Deliveries[0].Carried
}

// flowing are messages of a flow from a place on, with bodies of so many bytes.
func flowing(from, n, body int) []*pb.Message {
	all := inFlow(from + n)[from:]
	for i, m := range all {
		m.Id = fmt.Sprintf(`"0123456789ab%d"`, from+i)
		m.Number++
		m.Flow.Sequence++
		m.Body = make([]byte, body)
	}
	return all
}

// received gives what an encoder's packets are, one by one.
func received(t interface{ Fatalf(string, ...any) }, e framing.Encoder, d framing.Decoder, longest int) (out []*pb.Message, packets int) {
	for p, ok := e.Next(); ok; p, ok = e.Next() {
		packets++
		got, err := d.Decode(framing.Packet{Data: slices.Clone(p.Data)})
		if err != nil || len(p.Data) > longest || len(p.Data) == 0 {
			t.Fatalf("packet %d of %d bytes: %v", packets, len(p.Data), err)
		}
		for _, c := range got.Messages {
			for one := range c.Each() {
				out = append(out, one.Message())
			}
		}
	}
	return out, packets
}

// Rows, and messages by themselves between them, come out as the same messages in their order,
// whatever a packet takes, and whether the peer takes rows or not.
func TestRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := withRows()
		o.Rows = rapid.IntRange(0, 3).Draw(t, "rows") > 0
		o.Limits.Packet = rapid.SampledFrom([]int{500, 2000, 16 << 10}).Draw(t, "packet")
		o.Limits.Whole = rapid.SampledFrom([]int{600, 5000, 128 << 10}).Draw(t, "whole")
		e, d := framing.New(framing.PeerBus, o)
		var in []*pb.Message
		var out []*pb.Message
		at := 0
		take := func() {
			more, _ := received(t, e, d, o.Limits.Packet+framing.Headroom)
			out = append(out, more...)
		}
		for range rapid.IntRange(1, 8).Draw(t, "adds") {
			n := rapid.SampledFrom([]int{1, 1, 2, 20, 128}).Draw(t, "messages")
			body := rapid.SampledFrom([]int{0, 10, 100, 1000, 20_000}).Draw(t, "body")
			if body == 20_000 {
				n = min(n, 2)
			}
			at += rapid.IntRange(0, 1).Draw(t, "gap")
			some := flowing(at, n, body)
			at += n
			in = append(in, some...)
			if err := e.Carry(delivered(t, some)); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 3).Draw(t, "take") == 0 {
				take()
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "drain") == 0 {
			out = append(out, e.Drain()...)
		}
		take()
		if e.Pending() != 0 {
			t.Fatalf("%d bytes are pending", e.Pending())
		}
		if len(in) != len(out) {
			t.Fatalf("%d messages, want %d", len(out), len(in))
		}
		for i, m := range in {
			if !proto.Equal(m, out[i]) {
				t.Fatalf("message %d:\n%v, not\n%v", i, out[i], m)
			}
		}
	})
}

// Rows that follow each other are one, and take less of a packet than sequels.
func TestRowsAreShort(t *testing.T) {
	packets := func(o framing.Options) int {
		e, d := framing.New(framing.PeerBus, o)
		for i := range 20 {
			if err := e.Carry(delivered(t, flowing(1+50*i, 50, 64))); err != nil {
				t.Fatal(err)
			}
		}
		out, n := received(t, e, d, 16<<10+framing.Headroom)
		if len(out) != 1000 {
			t.Fatalf("%d messages", len(out))
		}
		return n
	}
	if rows, sequels := packets(withRows()), packets(withSequels()); rows > sequels {
		t.Errorf("%d packets, and %d with sequels", rows, sequels)
	}
}

// A packet whose rows are not as they may be is refused whole.
func TestRowsThatAreRefused(t *testing.T) {
	row := &pb.Row{Message: flowing(1, 1, 5)[0], Sequels: []*pb.Message{{Id: "1"}, {Id: "2"}}}
	odd := proto.CloneOf(row)
	odd.Sequels[1].Type = "t"
	long := proto.CloneOf(row)
	long.Message.From = string(make([]byte, 20_000))
	for range 10 {
		long.Sequels = append(long.Sequels, &pb.Message{Id: "3"})
	}
	for name, f := range map[string]*pb.Frame{
		"a row":               {Rows: []*pb.Row{row, row}},
		"another type":        {Rows: []*pb.Row{row, odd}},
		"with a message":      {Messages: []*pb.Message{{Id: "1"}}, Rows: []*pb.Row{row}},
		"with a cancellation": {Rows: []*pb.Row{row}, Cancelled: []uint64{1}},
		"too much":            {Rows: []*pb.Row{long}},
	} {
		b, err := proto.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		_, d := framing.New(framing.PeerBus, withRows())
		got, err := d.Decode(framing.Packet{Data: b})
		if is := fmt.Sprint(fault.CodeOf(err), got.Messages.Count()); (name == "a row") != (err == nil) || err != nil && is != "400 0" {
			t.Errorf("%s: %s, %v", name, is, err)
		}
	}
	_, d := framing.New(framing.PeerBus, withRows())
	if _, err := d.Decode(framing.Packet{Data: protowire.AppendBytes([]byte{6<<3 | 2}, []byte{1})}); fault.CodeOf(err) != fault.BadRequest {
		t.Error(err)
	}
}
