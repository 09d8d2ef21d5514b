package codec

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// inParts reads a request that comes in pieces, as gRPC reads a long one.
func inParts(t *testing.T, m *Request, b []byte) {
	t.Helper()
	half := len(b) / 2
	if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b[:half]), mem.SliceBuffer(b[half:])}, m); err != nil {
		t.Fatal(err)
	}
}

// A long plain post becomes a delivery where it is, as it would by a copy; it can still be
// opened, as long as its memory has not been given away.
func TestInPlace(t *testing.T) {
	origin := []byte("origin")
	room := OriginSize(origin, math.MaxUint64)
	for name, c := range map[string]struct {
		body     int
		listener string
		credit   bool
		place    bool
	}{
		"alone":               {17 << 10, "b", false, true},
		"the longest":         {longestPlain - 100, "b", false, true},
		"with a long name":    {17 << 10, strings.Repeat("b", 128), false, true},
		"a name for no place": {17 << 10, strings.Repeat("b", 2*front), false, false},
		"before a credit":     {17 << 10, "b", true, false},
	} {
		p := plainPost(7, "b")
		p.Message.Body = make([]byte, c.body)
		req := &pb.AttachRequest{Posts: []*pb.Post{p}}
		if c.credit {
			req.Credits = []*pb.Credit{{Listener: "x", Bytes: 5}}
		}
		m := Request{Room: room}
		inParts(t, &m, asPosted(t, req))
		if len(m.Runs) != 1 {
			t.Fatalf("%s: %d runs", name, len(m.Runs))
		}
		run := &m.Runs[0]
		want := delivered(t, c.listener, m.Plain(run)[0].Encoded, origin, 7)
		memory, got := m.InPlace(run, c.listener, origin)
		if (memory != nil) != c.place || c.place && string(got) != string(want) {
			t.Errorf("%s: in place: %t, with the bytes of a copy: %t", name, memory != nil, string(got) == string(want))
		}
		if opened, encoded := m.Open(run, 0); !proto.Equal(opened, p) || cap(encoded)-len(encoded) < room {
			t.Errorf("%s: another post was opened, or one without room", name)
		}
	}
}

// Memory that was given away is not used again, and all other is.
func TestTheMemoryOfAFrame(t *testing.T) {
	for name, does := range map[string]func(m *Request){
		"given": func(m *Request) { m.Give(&m.Runs[0]) }, "opened": func(m *Request) { m.Open(&m.Runs[0], 0) }, "left": func(*Request) {},
	} {
		pool := &counts{BufferPool: Buffers}
		before := Buffers
		Buffers = pool
		m := Request{Room: 40}
		p := plainPost(7, "b")
		p.Message.Body = make([]byte, 17<<10)
		inParts(t, &m, asPosted(t, &pb.AttachRequest{Posts: []*pb.Post{p}}))
		does(&m)
		m.Clear()
		Buffers = before
		if back := pool.back == 1; back != (name == "left") || pool.back > 1 {
			t.Errorf("%s: given back %d times", name, pool.back)
		}
	}
}

type counts struct {
	mem.BufferPool
	back int
}

func (c *counts) Put(b *[]byte) {
	c.back++
	c.BufferPool.Put(b)
}
