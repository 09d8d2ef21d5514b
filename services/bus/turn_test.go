package bus

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// written is a stream of which the frames that were sent to it are seen.
type written struct {
	*stream
	frames []int // deliveries of each
}

func (a *alone) written(t *testing.T, address string) *written {
	w := &written{stream: a.stream(t, address, 0)}
	w.frame.Leaves = &w.leaves
	w.send = func(f *codec.Response) error {
		w.frames = append(w.frames, len(f.Deliveries))
		return nil
	}
	return w
}

func (w *written) woken() bool {
	select {
	case <-w.wake:
		return true
	default:
		return false
	}
}

func postOf(to string, i int) *pb.Post { return &pb.Post{Message: numbered(alice, to, i)} }

// What a frame has for a listener goes to it at the end of the frame, from the goroutine
// that took the frame.
func TestAFrameIsWrittenByItsReader(t *testing.T) {
	a := newAlone(t, Limits{})
	a.approve(alice)
	l, other := a.written(t, carol), a.written(t, bob)
	by := a.stream(t, alice, 0)
	by.takeRequest(&codec.Request{
		AttachRequest: pb.AttachRequest{Posts: []*pb.Post{postOf(carol, 1), postOf(bob, 2), postOf(carol, 3)}},
		Encoded:       make([][]byte, 3),
	})
	if len(l.frames) != 1 || l.frames[0] != 2 || len(other.frames) != 1 || l.woken() || other.woken() {
		t.Errorf("frames of %v and %v deliveries", l.frames, other.frames)
	}
}

// The reader of a frame does not write what may make it wait: the writer does.
func TestAReaderDoesNotWait(t *testing.T) {
	for name, busy := range map[string]func(*written){
		"gRPC has much to send": func(w *written) { w.leaves.Store(leavingBytes + 1) },
		"the writer has the turn": func(w *written) {
			if !w.turn() {
				t.Error("no turn")
			}
		},
		"it is long": func(w *written) { w.queued = pushBytes },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAlone(t, Limits{})
			a.approve(alice)
			l := a.written(t, carol)
			busy(l)
			by := a.stream(t, alice, 0)
			by.takeRequest(&codec.Request{AttachRequest: pb.AttachRequest{Posts: []*pb.Post{postOf(carol, 1)}}, Encoded: make([][]byte, 1)})
			if len(l.frames) != 0 || !l.woken() {
				t.Errorf("%d frames were written", len(l.frames))
			}
		})
	}
}

// Who ends a turn wakes the writer for what came meanwhile, and when it has asked.
func TestTheEndOfATurn(t *testing.T) {
	a := newAlone(t, Limits{})
	l := a.written(t, carol)
	if !l.turn() || l.turn() {
		t.Fatal("there are two turns")
	}
	l.endTurn()
	if !l.woken() {
		t.Error("the writer had asked for the turn")
	}
	if !l.turn() {
		t.Fatal("no turn")
	}
	l.endTurn()
	if l.woken() {
		t.Error("there is nothing to write")
	}
}

// A message goes on in the bytes that it came in, with its origin behind; one that is not
// encoded as others do it, or is changed, does not.
func TestBytesThatGoOn(t *testing.T) {
	m := numbered(alice, carol, 7)
	plain, err := codec.Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	odd := append([]byte{0x62, 0}, plain...) // an empty origin is not encoded
	for name, c := range map[string]struct {
		bytes []byte
		same  bool
		m     *pb.Message
	}{
		"as it is":       {plain, true, m},
		"oddly encoded":  {odd, false, m},
		"without a from": {nil, false, &pb.Message{Id: m.Id, Type: m.Type, To: m.To}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAlone(t, Limits{})
			defer a.bus.origins.end()
			a.approve(alice)
			l := a.stream(t, carol, 0)
			a.begin(t, "x").post(&pb.Post{Message: message.Share(c.m), Number: 1}, c.bytes)
			f, _ := l.take()
			if len(f.GetDeliveries()) != 1 {
				t.Fatal("nothing came")
			}
			got := f.Deliveries[0].Message
			if (f.Encoded[0].Head != nil) != c.same {
				t.Errorf("bytes go on: %v", f.Encoded[0].Head != nil)
			}
			if want := 1; string(got.Origin) != "x" || got.Number != uint64(want) {
				t.Errorf("got %v", got)
			}
			var read pb.Message
			if err := codec.Unmarshal(f.Encoded[0].Head, &read); c.same && (err != nil || read.Id != got.Id || string(read.Origin) != "x" || read.Number != 1) {
				t.Errorf("%v: the bytes are those of %v", err, &read)
			}
		})
	}
}

// What comes in a flow goes on in the bytes that it came in, without the flow.
func TestBytesThatComeInAFlow(t *testing.T) {
	for name, last := range map[string]bool{"the flow is the last of them": true, "it is not": false} {
		t.Run(name, func(t *testing.T) {
			a := newAlone(t, Limits{})
			a.approveRemote(bob)
			l := a.stream(t, carol, 0)
			m := flowing(1, 7, 1)
			m.Via = "stub"
			if !last {
				m.Via = ""
			}
			bytes, err := codec.Append(nil, m)
			if err != nil {
				t.Fatal(err)
			}
			if !last {
				bytes = append(bytes, 5<<3|2, 4, 's', 't', 'u', 'b')
				m.Via = "stub"
			}
			stub := newStream(a.bus, "stub", pb.Component_COMPONENT_P2P_STUB)
			stub.post(&pb.Post{Message: m, Ingress: &pb.Ingress{RemoteRuntimeUrl: remote}}, bytes)
			f, _ := l.take()
			if len(f.GetDeliveries()) != 1 || f.Deliveries[0].Message.Flow != nil {
				t.Fatalf("got %v", f.GetDeliveries())
			}
			var read pb.Message
			if head := f.Encoded[0].Head; (head != nil) != last {
				t.Errorf("bytes go on: %v", head != nil)
			} else if err := codec.Unmarshal(head, &read); last && (err != nil || !proto.Equal(&read, f.Deliveries[0].Message)) {
				t.Errorf("%v: the bytes are those of %v", err, &read)
			}
		})
	}
}
