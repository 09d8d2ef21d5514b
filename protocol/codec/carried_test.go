package codec

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// flowRow makes a row in a flow with so many sequels.
func flowRow(number, sequence uint64, sequels int) *pb.Row {
	row := &pb.Row{Message: &pb.Message{
		Id: "1", Type: "event", From: "a", To: "b", Body: []byte(`{"value":1}`), Origin: []byte("o"), Number: number,
		Flow: &pb.Flow{Runtime: "r", Epoch: 5, Id: 1 << 63, Sequence: sequence, Base: 3},
	}}
	for n := range sequels {
		row.Sequels = append(row.Sequels, &pb.Message{Id: fmt.Sprint(n + 2), Body: fmt.Appendf(nil, `{"n":%d}`, n)})
	}
	return row
}

// messagesOf are those of a row; false when it is none.
func messagesOf(row *pb.Row) (all []*pb.Message, ok bool) {
	m := row.GetMessage()
	if m == nil {
		return nil, false
	}
	f := m.Flow
	bare := &pb.Message{Id: m.Id, Type: m.Type, From: m.From, To: m.To, Body: m.Body, Origin: m.Origin, Number: m.Number, Flow: &pb.Flow{
		Runtime: f.GetRuntime(), Epoch: f.GetEpoch(), Id: f.GetId(), Replica: f.GetReplica(), Sequence: f.GetSequence(), Base: f.GetBase(), After: f.GetAfter(),
	}}
	is := f.GetBase() > 0 && f.GetBase() <= f.GetSequence() && f.GetEpoch() > 0 && f.GetId() > 0 && f.GetRuntime() != "" &&
		m.Id != "" && m.Type != "" && m.From != "" && m.To != "" && len(m.Origin) > 0 && m.Number > 0 && proto.Equal(m, bare)
	all = []*pb.Message{m}
	for _, s := range row.Sequels {
		next, says := follows(all[len(all)-1], s)
		if !says || !is || next.Number == math.MaxUint64 || next.Flow.Sequence == math.MaxUint64 {
			return nil, false
		}
		next.Number++
		next.Flow.Sequence, next.Flow.After = next.Flow.Sequence+1, 0
		all = append(all, next)
	}
	return all, true
}

// rowBytes are those of a row as a bus makes it: the replica of a flow is with its name.
func rowBytes(t interface{ Fatal(...any) }, row *pb.Row) (encoded, sequels []byte) {
	m := proto.CloneOf(row.Message)
	f := m.Flow
	m.Flow = nil
	encoded, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	encoded = AppendFlow(encoded, NewFlowName(f), FlowPlace{Sequence: f.Sequence, Base: f.Base, After: f.After})
	if sequels, err = proto.Marshal(&pb.Row{Sequels: row.Sequels}); err != nil {
		t.Fatal(err)
	}
	return encoded, sequels
}

func anyRow(t *rapid.T) *pb.Row {
	row := flowRow(rapid.SampledFrom([]uint64{1, 120, 1 << 20, math.MaxUint64 >> 1}).Draw(t, "number"),
		rapid.SampledFrom([]uint64{3, 100, 16_350, 1 << 40}).Draw(t, "sequence"), rapid.SampledFrom([]int{1, 2, 5, 20, 130}).Draw(t, "sequels"))
	row.Message.Flow.Replica = rapid.SampledFrom([]string{"", "bus-1"}).Draw(t, "replica")
	row.Message.Flow.After = rapid.Uint64Range(0, 2).Draw(t, "after")
	for i := range rapid.IntRange(0, len(row.Sequels)).Draw(t, "others") {
		if i < 10 {
			row.Sequels[i].Body = make([]byte, rapid.SampledFrom([]int{0, 60, 1000}).Draw(t, "body"))
		}
	}
	return row
}

// checksCarried checks that a Carried is these messages, to everybody who may have it.
func checksCarried(t interface{ Fatalf(string, ...any) }, c Carried, want []*pb.Message) {
	size, at := 0, 0
	if c.Len() == 1 && !proto.Equal(c.Message(), want[0]) {
		t.Fatalf("%v, want %v", c.Message(), want[0])
	}
	for one := range c.Each() {
		var encoded pb.Message
		if err := proto.Unmarshal(one.Encoded, &encoded); err != nil || at == len(want) || !proto.Equal(&encoded, want[at]) || !proto.Equal(one.Message(), want[at]) {
			t.Fatalf("message %d of %d is %v (%v), in bytes %v", at, len(want), one.Message(), err, &encoded)
		}
		if one.Len() != 1 || one.Size() != len(one.Encoded) || one.Size() > c.Longest() || one.ID() != want[at].Id {
			t.Fatalf("message %d: %d of %d bytes, %d the longest, %s", at, one.Len(), one.Size(), c.Longest(), one.ID())
		}
		size += one.Size()
		at++
	}
	if at != len(want) || c.Len() != at || c.Size() != size || c.Head().To != want[0].To {
		t.Fatalf("%d messages of %d bytes, said to be %d of %d", at, size, c.Len(), c.Size())
	}
	b, err := c.AppendRow(nil)
	var row pb.Row
	if err == nil {
		err = proto.Unmarshal(b, &row)
	}
	all, ok := messagesOf(&row)
	if err != nil || len(b) != c.Wire() || c.Len() > 1 && !ok || !slices.EqualFunc(all, want, func(a, b *pb.Message) bool { return proto.Equal(a, b) }) {
		t.Fatalf("%v: a row of %d bytes, and not %d: %v", err, len(b), c.Wire(), &row)
	}
}

// A row is the same messages however often it is cut and put together, and in a packet.
func TestCarriedRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := anyRow(t)
		want, ok := messagesOf(row)
		if !ok {
			t.Fatal("it is no row")
		}
		c, err := readRow(rowBytes(t, row))
		if err != nil {
			t.Fatal(err)
		}
		checksCarried(t, c, want)
		var parts []Carried
		for rest, all := c, want; len(all) > 0; {
			room := rest.SizeOfFirst() + rapid.IntRange(0, 3000).Draw(t, "room")
			whole := rest.Longest() + rapid.IntRange(0, 20_000).Draw(t, "whole")
			var head Carried
			head, rest = rest.Cut(room, whole)
			if head.Wire() > room || head.Size() > whole {
				t.Fatalf("%d bytes of %d, %d of %d", head.Wire(), room, head.Size(), whole)
			}
			checksCarried(t, head, all[:head.Len()])
			parts, all = append(parts, head), all[head.Len():]
			if len(all) > 0 {
				checksCarried(t, rest, all)
			}
		}
		var packet []byte
		for _, p := range parts {
			b, _ := p.AppendRow(nil)
			packet = protowire.AppendBytes(append(packet, tag(6, bytes)), b)
		}
		all := UnmarshalPacket(packet, c.Size(), func(*pb.Message) uint32 { return 0 })
		clear(packet) // it is used again
		if all.Count() != len(want) {
			t.Fatalf("%d messages, want %d", all.Count(), len(want))
		}
		at, joined := 0, all[0]
		for i, p := range all {
			checksCarried(t, p, want[at:at+p.Len()])
			if at += p.Len(); i == 0 {
				continue
			}
			next, ok := joined.Join(p)
			if ok != (joined.row != nil && p.row != nil) {
				t.Fatalf("part %d follows: %v", i, ok)
			}
			if joined = next; !ok {
				break
			}
		}
		checksCarried(t, joined, want[:joined.Len()])
	})
}

// What does not go on where a row ends is not joined.
func TestRowsThatDoNotFollow(t *testing.T) {
	first, err := readRow(rowBytes(t, flowRow(10, 100, 3)))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(m *pb.Message){
		"it does":  func(*pb.Message) {},
		"number":   func(m *pb.Message) { m.Number++ },
		"sequence": func(m *pb.Message) { m.Flow.Sequence++ },
		"base":     func(m *pb.Message) { m.Flow.Base++ },
		"after":    func(m *pb.Message) { m.Flow.After = 2 },
		"flow":     func(m *pb.Message) { m.Flow.Id++ },
		"origin":   func(m *pb.Message) { m.Origin = []byte("p") },
		"receiver": func(m *pb.Message) { m.To = "c" },
	} {
		row := flowRow(14, 104, 2)
		change(row.Message)
		next, err := readRow(rowBytes(t, row))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := first.Join(next); ok != (name == "it does") {
			t.Errorf("%s: %v", name, ok)
		}
	}
	if _, ok := first.Join(Bare(&pb.Message{})); ok {
		t.Error("it is no row")
	}
}

// notARow changes a row so that it is none.
var notARow = map[string]func(r *pb.Row){
	"no flow":           func(r *pb.Row) { r.Message.Flow = nil },
	"no number":         func(r *pb.Row) { r.Message.Number = 0 },
	"no origin":         func(r *pb.Row) { r.Message.Origin = nil },
	"no sequence":       func(r *pb.Row) { r.Message.Flow.Sequence = 0 },
	"no base":           func(r *pb.Row) { r.Message.Flow.Base = 0 },
	"a base above":      func(r *pb.Row) { r.Message.Flow.Base = 101 },
	"a receiver":        func(r *pb.Row) { r.Message.Flow.Receiver = 3 },
	"acks":              func(r *pb.Row) { r.Message.Flow.Acks = []*pb.FlowAck{{}} },
	"refused":           func(r *pb.Row) { r.Message.Flow.Refused = true },
	"a source":          func(r *pb.Row) { r.Message.Source = "s" },
	"a trace":           func(r *pb.Row) { r.Message.Trace = &pb.Trace{} },
	"no message":        func(r *pb.Row) { r.Message = nil },
	"no receiver":       func(r *pb.Row) { r.Message.To = "" },
	"no id":             func(r *pb.Row) { r.Sequels[1].Id = "" },
	"another type":      func(r *pb.Row) { r.Sequels[1].Type = "t" },
	"a place":           func(r *pb.Row) { r.Sequels[1].Flow = &pb.Flow{} },
	"past all numbers":  func(r *pb.Row) { r.Message.Number = math.MaxUint64 - 1 },
	"past all places":   func(r *pb.Row) { r.Message.Flow.Sequence = math.MaxUint64 - 1 },
	"something unknown": func(r *pb.Row) { r.Sequels[1].ProtoReflect().SetUnknown([]byte{0x98, 1, 1}) },
}

// Nothing else follows a message of a flow: neither in a delivery nor in a packet nor in a post.
func TestWhatIsNoRow(t *testing.T) {
	for name, change := range notARow {
		row := flowRow(10, 100, 3)
		change(row)
		b, err := proto.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		if all := UnmarshalPacket(protowire.AppendBytes([]byte{tag(6, bytes)}, b), 1<<20, nil); all != nil {
			t.Errorf("%s: a packet has %d messages", name, all.Count())
		}
		d, _ := proto.Marshal(&pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: "l", Message: row.Message, Sequels: row.Sequels}}})
		if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(d)}, &Received{Whole: true}); err == nil {
			t.Errorf("%s: a delivery was read", name)
		}
		if row.Message != nil {
			row.Message.Via = "v"
		}
		p, _ := proto.Marshal(&pb.AttachRequest{Posts: []*pb.Post{{Message: row.Message, Ingress: &pb.Ingress{}, Sequels: row.Sequels}}})
		if err := takeInto(&Request{}, p); !errors.Is(err, errSequels) {
			t.Errorf("%s: a post: %v", name, err)
		}
	}
}

// What the messages of a packet have is bounded, when they are whole.
func TestRowsOfAPacketAreBounded(t *testing.T) {
	row := flowRow(10, 100, 50)
	row.Message.From = strings.Repeat("a", 1000)
	b, err := proto.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	b = protowire.AppendBytes([]byte{tag(6, bytes)}, b)
	if UnmarshalPacket(b, 51_000, nil) != nil || UnmarshalPacket(b, 56_000, nil).Count() != 51 {
		t.Error("not as bounded")
	}
}

// A row is delivered to a stub as such, and a bus takes it from there as the messages that it is.
func TestRowsPassAStub(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resp, req, lists := &pb.AttachResponse{}, &pb.AttachRequest{}, [][]*pb.Message{}
		var frame []byte
		for range rapid.IntRange(1, 5).Draw(t, "deliveries") {
			row := anyRow(t)
			if rapid.Bool().Draw(t, "alone") {
				row.Sequels = nil
			}
			list, _ := messagesOf(row)
			lists = append(lists, list)
			resp.Deliveries = append(resp.Deliveries, &pb.Delivery{Listener: "l", Message: row.Message, Sequels: row.Sequels})
			encoded, sequels := rowBytes(t, row)
			frame = append(appendDeliveryHead(frame, "l", len(encoded), len(sequels)), append(encoded, sequels...)...)
		}
		got := Received{Whole: true}
		if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(frame)}, &got); err != nil || len(got.Deliveries) != len(lists) || len(got.Groups) != 1 {
			t.Fatalf("%v: %d deliveries in %d groups", err, len(got.Deliveries), len(got.Groups))
		}
		var posts []byte
		ingress := rapid.SampledFrom([]*pb.Ingress{{}, {RemoteRuntimeUrl: "r"}}).Draw(t, "ingress")
		for i, d := range got.Deliveries {
			if d.Size != d.Carried.Size() {
				t.Fatalf("%d bytes, and %d", d.Size, d.Carried.Size())
			}
			checksCarried(t, d.Carried, lists[i])
			c := NewCarried(d.Carried, "via", ingress)
			var err error
			if posts, err = c.Append(AppendHead(posts, Head{}, c.Size())); err != nil {
				t.Fatal(err)
			}
			for _, m := range lists[i] {
				m = proto.CloneOf(m)
				m.Via = "via"
				req.Posts = append(req.Posts, &pb.Post{Message: m, Ingress: ingress})
			}
		}
		m := Request{Room: 20}
		if err := takeInto(&m, posts); err != nil {
			t.Fatal(err)
		}
		if read := opened(&m); !proto.Equal(read, req) {
			t.Fatalf("read %v\nwant %v", read, req)
		}
		for i := range m.Runs {
			for n, size := range m.Sizes(nil, &m.Runs[i]) {
				if _, b := m.Open(&m.Runs[i], n); len(b) != size || cap(b)-len(b) != m.Room {
					t.Fatalf("message %d is said to have %d bytes, has %d, and room for %d", n, size, len(b), cap(b)-len(b))
				}
			}
		}
	})
}

// However a row is encoded, it is refused or read as package proto reads it, and a bus takes what
// was read.
func FuzzFlowRow(f *testing.F) {
	for _, row := range []*pb.Row{flowRow(10, 100, 3), flowRow(1, 127, 70), flowRow(1, 5, 0)} {
		b, err := proto.Marshal(row)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all := UnmarshalPacket(protowire.AppendBytes([]byte{tag(6, bytes)}, data), 1<<20, nil)
		if all == nil {
			return
		}
		var row pb.Row
		if err := proto.Unmarshal(data, &row); err != nil {
			t.Fatal(err)
		}
		want, ok := messagesOf(&row)
		if !ok || all[0].Encoded == nil {
			if ok = ok || len(row.Sequels) == 0; !ok {
				t.Fatalf("read %v", &row)
			}
			return
		}
		checksCarried(t, all[0], want)
		if all[0].Len() == 1 {
			return
		}
		c := NewCarried(all[0], "via", &pb.Ingress{RemoteRuntimeUrl: "r"})
		b, err := c.Append(AppendHead(nil, Head{}, c.Size()))
		m := Request{Room: 20}
		if err == nil {
			err = takeInto(&m, b)
		}
		if err != nil || len(opened(&m).Posts) != len(want) {
			t.Fatalf("%v: a bus takes %v", err, opened(&m))
		}
	})
}
