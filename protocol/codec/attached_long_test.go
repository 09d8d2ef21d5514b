package codec

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// with makes a message with a body of so many bytes.
func with(body int) *pb.Message {
	return &pb.Message{Id: "1", Type: "read", From: "hyperty://a/b", To: "hyperty://c/d", Body: []byte(strings.Repeat(" ", body))}
}

// Long messages stay where they are, between what is around them, and count until gRPC
// has let go of the frame.
func TestALongMessageIsNotCopiedIntoAFrame(t *testing.T) {
	for _, sizes := range [][]int{{10}, {longFrom}, {longFrom, longFrom + 1}, {10, longFrom, 10}, {longFrom, 10, 0}} {
		var leaves atomic.Int64
		r := &Response{Leaves: &leaves}
		for _, size := range sizes {
			m := with(size)
			encoded, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			r.Deliveries = append(r.Deliveries, &pb.Delivery{Listener: m.To, Message: m})
			r.Encoded = append(r.Encoded, Parts{Head: encoded})
		}
		for _, settled := range [][]*pb.Range{nil, {{First: 1, Last: 300}}} {
			r.Settled = settled
			parts, err := (GRPC{}).Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := proto.Marshal(&r.AttachResponse)
			if !slices.Equal(parts.Materialize(), want) {
				t.Errorf("%v: the frame is not as package proto encodes it", sizes)
			}
			for i, encoded := range r.Encoded {
				if head := encoded.Head; len(head) >= longFrom && !has(parts, head) {
					t.Errorf("%v: message %d was copied", sizes, i)
				}
			}
			if n := leaves.Load(); n < int64(len(want)) {
				t.Errorf("%v: gRPC has %d bytes of %d", sizes, n, len(want))
			}
			if parts.Free(); leaves.Load() != 0 {
				t.Errorf("%v: %d bytes are not let go of", sizes, leaves.Load())
			}
		}
	}
}

func has(parts mem.BufferSlice, encoded []byte) bool {
	for _, p := range parts {
		if &p.ReadOnlyData()[0] == &encoded[0] {
			return true
		}
	}
	return false
}

// A long message has its frame's bytes, and room behind them; one that something is
// behind of, or that others are beside, has bytes of its own.
func TestALongMessageKeepsItsFrame(t *testing.T) {
	room := OriginSize([]byte("origin"), math.MaxUint64)
	one, small := &pb.Post{Sequence: 2, Number: 7, Message: with(keptFrom)}, &pb.Post{Sequence: 1, Number: 8, Message: with(10)}
	for name, c := range map[string]struct {
		req  *pb.AttachRequest
		kept bool
	}{
		"alone":               {&pb.AttachRequest{Posts: []*pb.Post{one}}, true},
		"with credit":         {&pb.AttachRequest{Posts: []*pb.Post{one}, Credits: []*pb.Credit{{Listener: "x", Bytes: 5}}}, false},
		"before a small one":  {&pb.AttachRequest{Posts: []*pb.Post{one, small}}, false},
		"behind a small one":  {&pb.AttachRequest{Posts: []*pb.Post{small, one}}, false},
		"beside as large one": {&pb.AttachRequest{Posts: []*pb.Post{one, one, one}}, false},
		"small":               {&pb.AttachRequest{Posts: []*pb.Post{small}}, false},
	} {
		b := asPosted(t, c.req)
		got := &Request{Room: room}
		f := gather(mem.BufferSlice{mem.SliceBuffer(b[:len(b)/2]), mem.SliceBuffer(b[len(b)/2:])}, room)
		got.pieces = []gathered{f}
		if err := readAttached(f.data, got); err != nil {
			t.Fatal(err)
		}
		if kept := within(got.Encoded[0], f.data); kept != c.kept {
			t.Errorf("%s: it keeps its frame: %t, want %t", name, kept, c.kept)
		}
		if got.pieces[0].memory != nil {
			clear(f.data)
		}
		if !proto.Equal(&got.AttachRequest, c.req) {
			t.Errorf("%s: another request was read", name)
		}
		for i, encoded := range got.Encoded {
			long := AppendOrigin(encoded, []byte("origin"), 7)
			if &long[0] != &encoded[0] {
				t.Errorf("%s: post %d has no room", name, i)
			}
			var m pb.Message
			if err := proto.Unmarshal(long, &m); err != nil || string(m.Origin) != "origin" || m.Number != 7 {
				t.Errorf("%s: post %d went on as %v, %v", name, i, m.Origin, err)
			}
		}
		if !proto.Equal(&got.AttachRequest, c.req) {
			t.Errorf("%s: what was appended to a message has changed another", name)
		}
	}
}

// asPosted encodes a request as a client does, which has the head of a post first.
func asPosted(t *testing.T, req *pb.AttachRequest) (b []byte) {
	for _, p := range req.Posts {
		body := content(t, p.Message, "", nil)
		b = append(AppendHead(b, Head{Sequence: p.Sequence, Number: p.Number, Again: p.Again}, len(body)), body...)
	}
	for _, c := range req.Credits {
		b = AppendCredit(b, c.Listener, c.Bytes)
	}
	return b
}

func within(part, whole []byte) bool {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(part)))
	from := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	return at >= from && at < from+uintptr(len(whole))
}
