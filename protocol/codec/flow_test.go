package codec

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func flowing() *pb.Flow {
	return &pb.Flow{
		Runtime: "hyperty-runtime://a.example/r", Epoch: 1 << 60, Id: 1 << 63, Replica: "r1",
		Sequence: 300, Base: 1, After: 2, Receiver: 1 << 40,
		Acks: []*pb.FlowAck{{Epoch: 7, Id: 8, Received: 9, Refusals: []*pb.FlowRefusal{{Sequence: 3, Code: 404, Description: "nobody"}}}},
	}
}

// What is appended reads as a message with that flow, has its size, and is cut off again.
func TestAFlowFollowsItsMessage(t *testing.T) {
	plain := &pb.Message{Id: "1", Type: "ping", From: "a", To: "b", Body: []byte(`{"value":1}`), Origin: []byte("o"), Number: 5}
	encoded, err := Append(nil, plain)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*pb.Flow){
		"all of it":        func(*pb.Flow) {},
		"without acks":     func(f *pb.Flow) { f.Acks = nil },
		"the first of all": func(f *pb.Flow) { f.Acks, f.After, f.Receiver, f.Replica = nil, 0, 0, "" },
	} {
		t.Run(name, func(t *testing.T) {
			f := flowing()
			change(f)
			flow := NewFlowName(f)
			place := FlowPlace{Sequence: f.Sequence, Base: f.Base, After: f.After, Receiver: f.Receiver, Acks: f.Acks}
			whole := AppendFlow(slices.Clone(encoded), flow, place)
			if added := len(whole) - len(encoded); f.Acks == nil && added > MaxFlow(flow) {
				t.Errorf("%d bytes, more than %d", added, MaxFlow(flow))
			}
			want := proto.CloneOf(plain)
			want.Flow = f
			var got pb.Message
			if err := Unmarshal(whole, &got); err != nil || !proto.Equal(&got, want) {
				t.Errorf("got %v, %v", &got, err)
			}
			if len(whole) != Size(want) {
				t.Errorf("%d bytes, want %d", len(whole), Size(want))
			}
			if cut := WithoutFlow(whole); !slices.Equal(cut, encoded) || cap(cut) != len(cut) {
				t.Errorf("without its flow: %q, want %q", cut, encoded)
			}
		})
	}
}

// A flow that is not the last of a message cannot be cut off.
func TestAFlowInTheMiddleStays(t *testing.T) {
	m := &pb.Message{Id: "1", Type: "ping", From: "a", To: "b", Flow: flowing(), Trace: &pb.Trace{Traceparent: "00"}}
	traced, err := Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	for name, encoded := range map[string][]byte{
		"a trace follows":   traced,
		"there is none":     traced[:3],
		"nothing before it": AppendFlow(nil, NewFlowName(m.Flow), FlowPlace{Sequence: 1}),
		"an unknown field":  append([]byte{0x82, 1, 1, 'x'}, AppendFlow(nil, NewFlowName(m.Flow), FlowPlace{Sequence: 1})...),
		"it is cut short":   traced[:len(traced)-5],
		"there is nothing":  nil,
	} {
		if cut := WithoutFlow(encoded); cut != nil {
			t.Errorf("%s: %q", name, cut)
		}
	}
}

// Carried content reads as the message with a via, and its flow is the last of it.
func TestCarriedContentGetsAVia(t *testing.T) {
	m := &pb.Message{Id: "1", Type: "ping", From: "a", To: "b", Flow: flowing()}
	encoded, err := Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCarried(Whole(m, encoded), "via", &pb.Ingress{RemoteRuntimeUrl: "r"})
	if !c.MeasureKnown(&Usual{}) {
		t.Error("a message that is carried is checked again")
	}
	b, err := c.Append(nil)
	if err != nil || len(b) != c.Size() {
		t.Fatal(err)
	}
	var got pb.AttachRequest
	if err := proto.Unmarshal(append(AppendHead(nil, Head{}, len(b)), b...), &got); err != nil || len(got.Posts) != 1 {
		t.Fatalf("%v, %v", &got, err)
	}
	want := proto.CloneOf(m)
	want.Via = "via"
	if p := got.Posts[0]; !proto.Equal(p.Message, want) || p.Ingress.GetRemoteRuntimeUrl() != "r" || c.To() != "b" || c.MessageSize() != Size(want) {
		t.Errorf("got %v", p)
	}
}

// FuzzWithoutFlow cuts nothing but the flow off a message.
func FuzzWithoutFlow(f *testing.F) {
	encoded, err := Append(nil, &pb.Message{Id: "1", Type: "ping", From: "a", To: "b"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(AppendFlow(encoded, NewFlowName(flowing()), FlowPlace{Sequence: 1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var whole, cut pb.Message
		before := WithoutFlow(data)
		if before == nil || Unmarshal(data, &whole) != nil {
			return
		}
		if err := Unmarshal(before, &cut); err != nil {
			t.Fatalf("%q: %v", before, err)
		}
		if whole.Flow, cut.Flow = nil, nil; !proto.Equal(&whole, &cut) {
			t.Errorf("%v, want %v", &cut, &whole)
		}
	})
}
