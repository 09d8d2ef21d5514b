package codec

import (
	"math"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// inFrames gives bytes as gRPC reads them.
func inFrames(b []byte) (parts mem.BufferSlice) {
	const most = 16 << 10
	for ; len(b) > most; b = b[most:] {
		parts = append(parts, mem.SliceBuffer(b[:most]))
	}
	return append(parts, mem.SliceBuffer(b))
}

// shaped makes a request with a part for each byte.
func shaped(shape []byte) *pb.AttachRequest {
	sizes := []int{0, 10, 1000, 7 << 10, 9 << 10, 17 << 10, 50 << 10}
	req := &pb.AttachRequest{}
	for i, b := range shape {
		p := plainPost(uint64(i)+1, "b") // a place
		p.Message.Body = make([]byte, sizes[int(b)%len(sizes)])
		p.Again = b>>4&1 == 1 // it is not plain then
		req.Posts = append(req.Posts, p)
		if b>>5&1 == 1 {
			req.Credits = append(req.Credits, &pb.Credit{Listener: "x", Bytes: uint32(b)})
		}
	}
	return req
}

// A frame is the same whether it is read in pieces or as one, if it can be read at all.
func FuzzPieces(f *testing.F) {
	for _, shape := range []string{"", "\x05\x05\x05", "\x04\x01\x04\x14\x25", "\x01\x02\x01\x06\x06", "\x24\x24\x03\x03\x03\x03"} {
		f.Add([]byte(shape), 0, byte(0))
		f.Add([]byte(shape), 3, byte(0x80))
		f.Add([]byte(shape), 9300, byte(0x1a))
	}
	room := OriginSize([]byte("origin"), math.MaxUint64)
	f.Fuzz(func(t *testing.T, shape []byte, at int, flip byte) {
		b := asPosted(t, shaped(shape[:min(len(shape), 20)]))
		if at >= 0 && at < len(b) {
			b[at] ^= flip
		}
		one, several := Request{Room: room}, Request{Room: room}
		wrong := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &one)
		err := (GRPC{}).Unmarshal(inFrames(b), &several)
		if (err == nil) != (wrong == nil) {
			t.Fatalf("in pieces %v, as one %v", err, wrong)
		}
		if err == nil && !proto.Equal(opened(&one), opened(&several)) {
			t.Error("in pieces another request was read")
		}
	})
}

// Long posts of a frame become deliveries each in its place, and their memory is not used
// again if it was given away.
func TestEachLongPostHasAPiece(t *testing.T) {
	origin := []byte("origin")
	pool := &counts{BufferPool: Buffers}
	before := Buffers
	defer func() { Buffers = before }()
	Buffers = pool
	m := Request{Room: OriginSize(origin, math.MaxUint64)}
	req := shaped([]byte{4, 1, 5, 4})
	if err := (GRPC{}).Unmarshal(inFrames(asPosted(t, req)), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Runs) != 4 {
		t.Fatalf("%d runs", len(m.Runs))
	}
	for i := range m.Runs {
		run := &m.Runs[i]
		want := delivered(t, "b", m.Plain(run)[0].Encoded, origin, run.First)
		memory, got := m.InPlace(run, "b", origin)
		if long := i != 1; (memory != nil) != long || long && string(got) != string(want) {
			t.Errorf("post %d: in place: %t, with the bytes of a copy: %t", i, memory != nil, string(got) == string(want))
		}
	}
	m.Give(&m.Runs[2])
	if m.Clear(); pool.back != 3 {
		t.Errorf("%d pieces are used again, want 3 of 4", pool.back)
	}
}

// scribbles writes over the memory that it is given back.
type scribbles struct{ mem.BufferPool }

func (s scribbles) Put(b *[]byte) {
	clear((*b)[:cap(*b)])
	s.BufferPool.Put(b)
}

// A piece stays as long as its posts are used, plain ones and those of a flow.
func TestPiecesAreKept(t *testing.T) {
	before := Buffers
	defer func() { Buffers = before }()
	Buffers = scribbles{Buffers}
	for _, sizes := range [][]int{{9000, 9000, 9000}, {10, 11000, 10, 11000, 10}, {6000, 6000, 9000, 10, 10}} {
		plain, flow := &pb.AttachRequest{}, &pb.AttachRequest{Posts: inboundPosts(uint64(len(sizes)))}
		for i, size := range sizes {
			p := plainPost(uint64(i)+1, "b") // a place
			plain.Posts = append(plain.Posts, p)
			p.Message.Body = make([]byte, size)
			flow.Posts[i].Message.Body = p.Message.Body
		}
		for b, want := range map[string]*pb.AttachRequest{
			string(asPosted(t, plain)): plain, string(inboundBytes(t, true, flow.Posts...)): flow, string(inboundBytes(t, false, flow.Posts...)): flow,
		} {
			m := Request{Room: 40}
			if err := (GRPC{}).Unmarshal(inFrames([]byte(b)), &m); err != nil {
				t.Fatal(err)
			}
			if len(m.Runs) < 3 {
				t.Errorf("%v: %d runs", sizes, len(m.Runs))
			}
			if got := opened(&m); !proto.Equal(got, want) {
				t.Errorf("%v: another request was read", sizes)
			}
		}
	}
}
