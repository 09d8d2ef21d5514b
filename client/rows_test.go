package client

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// flowRow is a row of n messages of a flow, as a stub has it, whose sender has an address of so
// many bytes.
func flowRow(t testing.TB, from, n, address int) codec.Carried {
	t.Helper()
	d := &pb.Delivery{Listener: "l", Message: &pb.Message{
		Id: fmt.Sprint(from), Type: "event", From: strings.Repeat("a", address), To: "b", Origin: []byte("o"), Number: uint64(from), // small
		Flow: &pb.Flow{Runtime: "r", Epoch: 1, Id: 1, Sequence: uint64(from), Base: 1}, // small
	}}
	for i := range n - 1 {
		d.Sequels = append(d.Sequels, &pb.Message{Id: fmt.Sprint((from + 1 + i) % 10)})
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

// However long the headings are, what the rows of a frame leave out is what a bus takes.
func TestFramesOfRowsAreBounded(t *testing.T) {
	for _, c := range []struct{ address, via, each int }{
		{10, 3, 120}, {1000, 3, 120}, {10, 61, 1600}, {10, 100, 725}, {10, 117, 1300}, {3, 61, 2200}, {10, 2000, 120},
	} {
		l := newLedger(false, 1<<20, time.Time{})
		const rows = 64
		each, address, via := c.each, c.address, strings.Repeat("v", c.via)
		for i := range rows {
			row := flowRow(t, 1+i*each, each, address)
			if left := row.LeftOut(via); left > leftOutBytes/2 {
				t.Fatalf("%+v: a row leaves out %d bytes", c, left)
			}
			p := &posting{content: codec.NewCarried(row, via, &pb.Ingress{RemoteRuntimeUrl: "r"})}
			add(t, l, p)
		}
		came, frames := 0, 0
		for ; l.waiting > 0; frames++ {
			f := newFrame(l.most(), &writer{sequels: true})
			l.take(f, time.Time{})
			encoded := f.encoded()
			req := codec.Request{Room: 20}
			if err := (codec.GRPC{}).Unmarshal(encoded.Parts, &req); err != nil {
				t.Fatalf("%+v: frame %d: %v", c, frames, err)
			}
			for i := range req.Runs {
				came += req.Runs[i].Len()
			}
			encoded.Parts.Free()
		}
		if came != rows*each || l.queued != 0 || l.held != 0 || address == 1000 && frames < 8 {
			t.Errorf("%+v: %d messages in %d frames; %d bytes are queued, %d held", c, came, frames, l.queued, l.held)
		}
	}
}

// A row is for a bus that takes rows, and for no bus where it leaves out more than that takes.
func TestRowsAreForWhoTakesThem(t *testing.T) {
	b, err := New(Config{Conn: &grpc.ClientConn{}, Component: pb.Component_COMPONENT_P2P_STUB})
	if err != nil {
		t.Fatal(err)
	}
	one, row, long := flowRow(t, 1, 1, 5), flowRow(t, 1, 3, 5), strings.Repeat("v", leftOutBytes/2)
	if b.TakesRow(row, "via") || !b.TakesRow(one, long) {
		t.Error("a bus that takes none takes a row, or no message")
	}
	if b.rows.Store(true); !b.TakesRow(row, "via") || b.TakesRow(row, long) {
		t.Error("a bus that takes rows takes none, or any")
	}
}

func TestARowIsPostedAsOne(t *testing.T) {
	b, err := New(Config{Conn: &grpc.ClientConn{}, Component: pb.Component_COMPONENT_P2P_STUB})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Carry(t.Context(), flowRow(t, 1, 3, 5), "via", From(&pb.Ingress{RemoteRuntimeUrl: "r"})); err != nil {
		t.Fatal(err)
	}
	f := newFrame(b.out.posts.most(), &writer{})
	b.out.posts.take(f, time.Time{})
	encoded := f.encoded()
	defer encoded.Parts.Free()
	var req pb.AttachRequest
	if err := proto.Unmarshal(encoded.Parts.Materialize(), &req); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range req.Posts {
		got = append(got, p.Message.Id)
		for _, s := range p.Sequels {
			got = append(got, s.Id)
		}
		if p.Message.Via != "via" || p.Ingress.GetRemoteRuntimeUrl() != "r" {
			t.Errorf("posted %v", p)
		}
	}
	if text := strings.Join(got, " "); text != "1 2 3" || len(req.Posts) != 1 {
		t.Errorf("posted %q in %d posts", text, len(req.Posts))
	}
}

// Numbers and places rise to the highest that there is, and no further: what a peer may send of
// them a bus takes behind a via, or else a peer could end the stream of its stub.
func TestARowRisesToTheEnd(t *testing.T) {
	const n = 4
	for _, c := range []struct {
		number, sequence uint64
		taken            bool
	}{
		{math.MaxUint64 - n, 1, true}, {1, math.MaxUint64 - n, true}, {math.MaxUint64 - n, math.MaxUint64 - n, true},
		{math.MaxUint64 - n + 1, 1, false}, {1, math.MaxUint64 - n + 1, false},
	} {
		row := &pb.Row{Message: &pb.Message{Id: "1", Type: "event", From: "a", To: "b", Origin: []byte("o"), Number: c.number,
			Flow: &pb.Flow{Runtime: "r", Epoch: 1, Id: 1, Sequence: c.sequence, Base: 1}}}
		for range n {
			row.Sequels = append(row.Sequels, &pb.Message{Id: "2"})
		}
		packet, err := proto.Marshal(&pb.Frame{Rows: []*pb.Row{row}})
		if err != nil {
			t.Fatal(err)
		}
		got := codec.UnmarshalPacket(packet, 128<<10, func(*pb.Message) uint32 { return 0 })
		if taken := len(got) == 1; taken != c.taken {
			t.Errorf("%+v: taken: %v", c, taken)
		} else if taken {
			takenByABus(t, got[0])
		}
	}
}

func takenByABus(t *testing.T, row codec.Carried) {
	t.Helper()
	l := newLedger(false, 1<<20, time.Time{})
	add(t, l, &posting{content: codec.NewCarried(row, "via", &pb.Ingress{RemoteRuntimeUrl: "r"})})
	f := newFrame(l.most(), &writer{sequels: true})
	l.take(f, time.Time{})
	encoded := f.encoded()
	defer encoded.Parts.Free()
	req := codec.Request{Room: 20}
	if err := (codec.GRPC{}).Unmarshal(encoded.Parts, &req); err != nil || len(req.Runs) != 1 || req.Runs[0].Len() != row.Len() {
		t.Errorf("a bus takes %d runs of %d messages: %v", len(req.Runs), row.Len(), err)
	}
}
