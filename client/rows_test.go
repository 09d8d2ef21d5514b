package client

import (
	"fmt"
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
		Id: fmt.Sprint(from), Type: "event", From: strings.Repeat("a", address), To: "b", Origin: []byte("o"), Number: uint64(from), //nolint:gosec // small
		Flow: &pb.Flow{Runtime: "r", Epoch: 1, Id: 1, Sequence: uint64(from), Base: 1}, //nolint:gosec // small
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
	for _, address := range []int{10, 1000} {
		l := newLedger(false, 1<<20, time.Time{})
		const rows, each = 64, 120
		for i := range rows {
			p := &posting{content: codec.NewCarried(flowRow(t, 1+i*each, each, address), "via", &pb.Ingress{RemoteRuntimeUrl: "r"})}
			add(t, l, p)
		}
		came, frames := 0, 0
		for ; l.waiting > 0; frames++ {
			f := newFrame(l.most(), &writer{sequels: true})
			l.take(f, time.Time{})
			encoded := f.encoded()
			req := codec.Request{Room: 20}
			if err := (codec.GRPC{}).Unmarshal(encoded.Parts, &req); err != nil {
				t.Fatalf("%d bytes: frame %d: %v", address, frames, err)
			}
			for i := range req.Runs {
				came += req.Runs[i].Len()
			}
			encoded.Parts.Free()
		}
		if came != rows*each || l.queued != 0 || l.held != 0 || address == 1000 && frames < 8 {
			t.Errorf("%d bytes: %d messages in %d frames; %d bytes are queued, %d held", address, came, frames, l.queued, l.held)
		}
	}
}

// A row is posted as such to a bus that takes it, and else as its messages.
func TestRowsAreForWhoTakesThem(t *testing.T) {
	for takes, want := range map[bool]string{true: "1 2 3", false: "1, 2, 3"} {
		b, err := New(Config{Conn: &grpc.ClientConn{}, Component: pb.Component_COMPONENT_P2P_STUB})
		if err != nil {
			t.Fatal(err)
		}
		b.rows.Store(takes)
		if err := b.Carry(t.Context(), flowRow(t, 1, 3, 5), "via", From(&pb.Ingress{RemoteRuntimeUrl: "r"})); err != nil {
			t.Fatal(err)
		}
		var got []string
		f := newFrame(b.out.posts.most(), &writer{})
		b.out.posts.take(f, time.Time{})
		encoded := f.encoded()
		var req pb.AttachRequest
		if err := proto.Unmarshal(encoded.Parts.Materialize(), &req); err != nil {
			t.Fatal(err)
		}
		encoded.Parts.Free()
		for _, p := range req.Posts {
			text := p.Message.Id
			for _, s := range p.Sequels {
				text += " " + s.Id
			}
			if got = append(got, text); p.Message.Via != "via" || p.Ingress.GetRemoteRuntimeUrl() != "r" {
				t.Errorf("posted %v", p)
			}
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("posted %q, want %q", text, want)
		}
	}
}
