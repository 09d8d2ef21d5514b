package framing

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// alikePacket is a packet of messages of a flow, as a stub sends it.
func alikePacket(t testing.TB, n int, change func(i int, m *pb.Message)) []byte {
	t.Helper()
	e, _ := New(PeerBus, Options{Sequels: true})
	for i := range n {
		m := &pb.Message{
			Id: fmt.Sprintf("%q", fmt.Sprint("ä", i)), Type: "event", From: "hyperty://a/1", To: "hyperty://b/1", Body: fmt.Appendf(nil, `{"value":%d}`, i),
			Origin: []byte("origin"), Number: uint64(i) + 1,
			Flow: &pb.Flow{Runtime: "hyperty-runtime://a/1", Epoch: 5, Id: 6, Sequence: uint64(i) + 100, Base: 99},
		}
		change(i, m)
		if err := e.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := e.Next()
	return bytes.Clone(p.Data)
}

// A packet whose messages are alike is read without decoding them: they are what they are
// when they are decoded, and their bytes too. One that differs has all of it decoded.
func TestAlikeInAPacket(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(i int, m *pb.Message)
		alike  bool
	}{
		"all":     {func(int, *pb.Message) {}, true},
		"no flow": {func(_ int, m *pb.Message) { m.Flow, m.Origin, m.Number = nil, nil, 0 }, true},
		"no body": {func(_ int, m *pb.Message) { m.Body = nil }, true},
		"another": {func(i int, m *pb.Message) { m.To += fmt.Sprint(i / 10) }, false},
		"source":  {func(_ int, m *pb.Message) { m.Source = "s" }, false},
		"replica": {func(_ int, m *pb.Message) { m.Flow.Replica = "r" }, false},
		"no id":   {func(_ int, m *pb.Message) { m.Id = "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			data := alikePacket(t, 20, tc.change)
			got := codec.UnmarshalPacket(data, DefaultLimits().Whole, sameAsHead)
			if (got != nil) != tc.alike {
				t.Fatalf("alike: %v", got != nil)
			}
			want, err := newPeerBusDecoder(DefaultLimits()).frame(data)
			if err != nil || len(want.Messages) != 20 {
				t.Fatalf("%d messages, %v", len(want.Messages), err)
			}
			clear(data) // the packet is used again
			if got != nil {
				same(t, got, want.Messages)
			}
		})
	}
	if codec.UnmarshalPacket(alikePacket(t, 20, func(int, *pb.Message) {}), 500, sameAsHead) != nil {
		t.Error("they are more than may be")
	}
}

func same(t *testing.T, got, want codec.Messages) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i, c := range got {
		m, w := c.Message(), want[i].Message()
		var bytes pb.Message
		if err := proto.Unmarshal(c.Encoded, &bytes); err != nil || !proto.Equal(m, w) || !proto.Equal(&bytes, w) {
			t.Errorf("message %d: %v\n%v, want\n%v", i, err, m, w)
		}
		if c.ID() != w.Id || i > 0 && (!c.Alike() || c.Own().ID != w.Id || string(c.Own().Body) != string(w.Body)) {
			t.Errorf("message %d: id %s, %+v", i, c.ID(), c)
		}
	}
}

// FuzzPacket reads packets both ways.
func FuzzPacket(f *testing.F) {
	f.Add(alikePacket(f, 3, func(int, *pb.Message) {}))
	f.Add(alikePacket(f, 3, func(_ int, m *pb.Message) { m.Flow, m.Origin, m.Number = nil, nil, 0 }))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := codec.UnmarshalPacket(data, DefaultLimits().Whole, sameAsHead)
		if got == nil || data[0] == frameRows<<3|2 { // of rows codec has a test of its own
			return
		}
		want, err := newPeerBusDecoder(DefaultLimits()).frame(data)
		if err != nil {
			t.Fatalf("%x: %v", data, err)
		}
		same(t, got, want.Messages)
	})
}

// What may be under way is less than what pion keeps of datagrams for a DTLS that is behind,
// also of short ones of a flow that go one by one.
func TestAWindowOfDatagramsIsKept(t *testing.T) {
	for _, size := range []int{1, 64, 256, 700, 1 << 10, 1300, 16 << 10, 64 << 10} {
		for name, o := range map[string]struct {
			long    bool
			waiting int // bytes that wait when a packet is made
		}{"one by one": {false, 1}, "packets": {false, 4 * LongPacket}, "long packets": {true, 4 * LongPacket}} {
			if n := windowOnWire(t, size, o.long, o.waiting); n > 1_000_000 {
				t.Errorf("%s of messages of %d B: %d bytes of datagrams", name, size, n)
			}
		}
	}
}

// windowOnWire is how many bytes a window of messages with such bodies has as datagrams.
// Chunks share one where they fit.
func windowOnWire(t *testing.T, size int, long bool, waiting int) (wire int) {
	t.Helper()
	const chunk, around = 16, 12 + 13 + 8 + 16 + 2 // bytes: SCTP, record, nonce, tag, and what pion notes
	e, _ := New(PeerBus, Options{Sequels: true, Packet: LongPacket})
	e.Lengthen(long)
	left := 0 // bytes of the latest datagram
	for n, written := 0, 0; written < Window; n++ {
		m := &pb.Message{
			Id: fmt.Sprint(n), Type: "event", From: "hyperty://a/1", To: "hyperty://b/1", Body: bytes.Repeat([]byte("1"), size),
			Flow: &pb.Flow{Runtime: "hyperty-runtime://a/1", Epoch: 1 << 60, Id: 1, Sequence: uint64(n) + 1, Base: 1}, // not negative
		}
		if err := e.Add(m); err != nil {
			t.Fatal(err)
		}
		for e.Pending() >= waiting {
			p, _ := e.Next()
			written += len(p.Data)
			for rest := len(p.Data); rest > 0; {
				piece := min(rest, datagram)
				if rest -= piece; left < chunk+piece+3 {
					wire, left = wire+around, datagram+chunk
				}
				wire, left = wire+chunk+(piece+3)&^3, left-chunk-(piece+3)&^3
			}
		}
	}
	return wire
}
