package codec

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// asResponse makes what was read the message that it is of.
func asResponse(m *Received) *pb.AttachResponse {
	resp := &pb.AttachResponse{Welcome: m.Welcome, Outcomes: m.Outcomes}
	all := m.Deliveries
	var opener Opener
	for _, run := range m.Groups {
		if run.Lot != nil {
			for i := range run.Length {
				resp.Deliveries = append(resp.Deliveries, &pb.Delivery{Listener: run.Listener, Message: opener.Message(run.Lot, i)})
			}
			run.Lot.Free()
			continue
		}
		for _, d := range all[:run.Length] {
			resp.Deliveries = append(resp.Deliveries, &pb.Delivery{Listener: run.Listener, Message: d.Message()})
		}
		all = all[run.Length:]
	}
	for _, s := range m.Settled {
		resp.Settled = append(resp.Settled, &pb.Range{First: s.First, Last: s.Last})
	}
	return resp
}

// known is what a client reads of a response.
func knownOf(resp *pb.AttachResponse) *pb.AttachResponse {
	only := &pb.AttachResponse{Welcome: resp.Welcome, Outcomes: resp.Outcomes, Settled: resp.Settled}
	for _, d := range resp.Deliveries {
		only.Deliveries = append(only.Deliveries, &pb.Delivery{Listener: d.Listener, Message: d.Message})
	}
	return only
}

func receive(t *testing.T, m *Received, resp *pb.AttachResponse) {
	t.Helper()
	b, err := proto.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	half := len(b) / 2
	parts := mem.BufferSlice{mem.SliceBuffer(b[:half]), mem.SliceBuffer(b[half:])}
	if err := (GRPC{}).Unmarshal(parts, m); err != nil {
		t.Fatal(err)
	}
	clear(b) // gRPC uses it again
}

// One that is used again has nothing of the frame before, and what was taken out of it
// stays.
func TestReceived(t *testing.T) {
	var m Received
	full := filledResponse()
	for _, d := range full.Deliveries {
		for n := range 30 { // more than are made together, alike and not
			more := proto.CloneOf(d)
			more.Message.To += strings.Repeat("x", n/3)
			full.Deliveries = append(full.Deliveries, more)
		}
	}
	long := &pb.AttachResponse{Deliveries: []*pb.Delivery{
		{Message: &pb.Message{To: "long", Body: make([]byte, 100<<10)}}, {Listener: "a", Message: &pb.Message{To: "short"}}, {Listener: "none"},
	}}
	var all []*pb.AttachResponse
	frames := []*pb.AttachResponse{full, {}, long, full, {Welcome: &pb.Welcome{RuntimeUrl: "r"}}}
	for _, resp := range frames {
		receive(t, &m, resp)
		for i, d := range m.Deliveries {
			if d.Size != proto.Size(resp.Deliveries[i].Message) {
				t.Errorf("delivery %d has %d bytes, want %d", i, d.Size, proto.Size(resp.Deliveries[i].Message))
			}
		}
		all = append(all, asResponse(&m))
	}
	for i, got := range all {
		if want := knownOf(frames[i]); !proto.Equal(got, want) {
			t.Errorf("read %v\nwant %v", got, want)
		}
	}
}

// Texts that are the same again and again are the same string, unless they are a small
// part of what would be kept with them.
func TestReceivedTextsAreShared(t *testing.T) {
	var m Received
	for _, tc := range []struct {
		body   int
		shared bool
	}{{64, true}, {100 << 10, false}} {
		var seen []*byte
		for range 2 {
			receive(t, &m, &pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: "a", Message: &pb.Message{From: fmt.Sprint("from ", tc.body), Body: make([]byte, tc.body)}}}})
			seen = append(seen, unsafe.StringData(m.Deliveries[0].Message().From))
		}
		if shared := seen[0] == seen[1]; shared != tc.shared {
			t.Errorf("with %d bytes, shared is %t", tc.body, shared)
		}
	}
}

// Each text is checked, whatever came before it.
func TestReceivedChecksTexts(t *testing.T) {
	var m Received
	good := &pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: "a", Message: &pb.Message{From: "from", To: "to"}}}}
	receive(t, &m, good)
	b, err := proto.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := []byte(strings.Replace(string(b), "from", "fr\xff\xff", 1))
	if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(bad)}, &m); err == nil {
		t.Errorf("read %q", m.Deliveries[0].Message().From)
	}
}

func TestReceivingAllocatesLittle(t *testing.T) {
	resp := &pb.AttachResponse{}
	for range 64 {
		resp.Deliveries = append(resp.Deliveries, &pb.Delivery{Listener: "hyperty://example.org/bob", Message: &pb.Message{
			Id: `"7f3e"`, Type: "event", From: "hyperty://example.org/alice", To: "hyperty://example.org/bob", Body: make([]byte, 64),
		}})
	}
	b, err := proto.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	var m Received
	data := mem.BufferSlice{mem.SliceBuffer(b)}
	if n := testing.AllocsPerRun(100, func() {
		if err := (GRPC{}).Unmarshal(data, &m); err != nil {
			t.Error(err)
		}
	}); n > 16 {
		t.Errorf("%v allocations for 64 messages", n)
	}
}

// What is read is what package proto reads, whatever was read before, and it is refused
// when that refuses it.
func FuzzReceived(f *testing.F) {
	var all [][]byte
	for _, m := range []*pb.AttachResponse{
		filledResponse(),
		{Deliveries: []*pb.Delivery{{Listener: "a"}, {Listener: "a"}, {Listener: "b", Message: usualMessage()}}},
		{Deliveries: []*pb.Delivery{{Listener: "b", Message: usualMessage()}, {Listener: "b", Message: &pb.Message{From: "from"}}}},
		crowd(5, 10), crowd(30, 40), crowd(1, 3<<10), // lots
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, b)
	}
	all = append(all,
		[]byte{0x1a, 0x06, 0x12, 0x00, 0x12, 0x02, 0x0a, 0x00}, // a delivery with two messages
		[]byte{0x9a, 0x00, 0x00},                               // a tag with a byte too many
		[]byte{0x1a, 0x06, 0x0a, 0x01, 0xff, 0x12, 0x01, 0x00}, // a listener that is not UTF-8, and a message that is none
		[]byte{0x1a, 0x07, 0x0a, 0x01, 0xff, 0x12, 0x02, 0x0a, 0x00})
	for i, b := range all {
		f.Add(b, all[(i+1)%len(all)])
	}
	f.Fuzz(func(t *testing.T, one, other []byte) {
		for _, whole := range []bool{false, true} {
			got := Received{Whole: whole}
			for _, b := range [][]byte{one, one, other, one} {
				readAsProto(t, &got, b)
			}
		}
	})
}

func readAsProto(t *testing.T, got *Received, b []byte) {
	t.Helper()
	var want pb.AttachResponse
	wrong, err := proto.Unmarshal(b, &want), GRPC{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, got)
	if slices.ContainsFunc(want.Deliveries, func(d *pb.Delivery) bool { return len(d.GetSequels()) > 0 }) {
		return // FuzzRows is of these
	}
	if (err == nil) != (wrong == nil) {
		t.Fatalf("%v, want %v", err, wrong)
	}
	if err != nil {
		return
	}
	if read := asResponse(got); !proto.Equal(read, withoutUnknown(&want)) {
		t.Fatalf("read %v\nwant %v", read, withoutUnknown(&want))
	}
}

// withoutUnknown is knownOf, without fields that a later version may have beside those.
func withoutUnknown(resp *pb.AttachResponse) *pb.AttachResponse {
	only := knownOf(resp)
	for i, s := range only.Settled {
		only.Settled[i] = &pb.Range{First: s.First, Last: s.Last}
	}
	return only
}

func BenchmarkReceived(b *testing.B) {
	resp := &pb.AttachResponse{}
	for n := range uint64(64) {
		resp.Deliveries = append(resp.Deliveries, &pb.Delivery{Listener: "hyperty://example.org/bob", Message: &pb.Message{
			Id: `"7f3e4f12-1111-2222-3333-123456789abc-1z"`, Type: "create", From: "hyperty://example.org/alice", To: "hyperty://example.org/bob",
			Body: make([]byte, 64), Number: n, Origin: make([]byte, 16),
		}})
	}
	raw, err := proto.Marshal(resp)
	if err != nil {
		b.Fatal(err)
	}
	var m Received
	data := mem.BufferSlice{mem.SliceBuffer(raw)}
	b.ReportAllocs()
	for b.Loop() {
		if err := (GRPC{}).Unmarshal(data, &m); err != nil {
			b.Fatal(err)
		}
	}
}

// Who passes messages on has their bytes, whatever becomes of the frame.
func TestReceivedWhole(t *testing.T) {
	m := &pb.Message{Id: "1", Type: "ping", From: "a", To: "b", Body: []byte(`{"value":1}`)}
	encoded, err := Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	frame, err := proto.Marshal(&pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: "l", Message: m}, {Listener: "l", Message: m}}})
	if err != nil {
		t.Fatal(err)
	}
	got := Received{Whole: true}
	if err := got.unmarshal(mem.BufferSlice{mem.SliceBuffer(frame)}); err != nil || len(got.Deliveries) != 2 || len(got.Groups) != 1 || got.Groups[0] != (Group{"l", 2, nil}) {
		t.Fatalf("%d deliveries, %v", len(got.Deliveries), err)
	}
	clear(frame)
	for _, d := range got.Deliveries {
		if !proto.Equal(d.Message(), m) || string(d.Encoded) != string(encoded) || d.Size != len(encoded) {
			t.Errorf("got %v", d)
		}
	}
}
