package codec

import (
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// first is a message as many of a flow are.
func first() *pb.Message {
	return &pb.Message{
		Id: `"a-1"`, Type: "event", From: "hyperty://a/1", To: "hyperty://b/1", Body: []byte(`{"value":1}`), Origin: []byte("origin"), Number: 7,
		Flow: &pb.Flow{Runtime: "hyperty-runtime://a/1", Epoch: 5, Id: 6, Sequence: 700, Base: 600, Replica: "r"},
	}
}

// encodedOf gives the bytes of a message, with its flow as a bus appends it.
func encodedOf(t testing.TB, m *pb.Message) []byte {
	t.Helper()
	bare := proto.CloneOf(m)
	bare.Flow = nil
	b, err := Append(nil, bare)
	if err != nil {
		t.Fatal(err)
	}
	if f := m.Flow; f != nil && len(unknownInMessage.of(m)) == 0 && m.Trace == nil {
		return AppendFlow(b, NewFlowName(f), FlowPlace{Sequence: f.Sequence, Base: f.Base, After: f.After, Receiver: f.Receiver, Acks: f.Acks})
	}
	if b, err = Append(nil, m); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAlike(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *pb.Message)
		alike  bool
	}{
		"the same":           {func(*pb.Message) {}, true},
		"id, body, number":   {func(m *pb.Message) { m.Id, m.Body, m.Number = `"another"`, []byte(`{"value":[]}`), 1<<40 }, true},
		"place":              {func(m *pb.Message) { m.Flow.Sequence, m.Flow.Base, m.Flow.After, m.Flow.Receiver = 1, 2, 3, 4 }, true},
		"no place":           {func(m *pb.Message) { m.Flow.Sequence, m.Flow.Base = 0, 0 }, true},
		"no body, no number": {func(m *pb.Message) { m.Body, m.Number = nil, 0 }, true},
		"no id":              {func(m *pb.Message) { m.Id = "" }, false},
		"type":               {func(m *pb.Message) { m.Type = "evens" }, false},
		"from":               {func(m *pb.Message) { m.From += "1" }, false},
		"to":                 {func(m *pb.Message) { m.To += "1" }, false},
		"via":                {func(m *pb.Message) { m.Via = "v" }, false},
		"source":             {func(m *pb.Message) { m.Source = "v" }, false},
		"p2p":                {func(m *pb.Message) { m.P2P = true }, false},
		"resource":           {func(m *pb.Message) { m.Resource = &pb.Resource{} }, false},
		"origin":             {func(m *pb.Message) { m.Origin = []byte("others") }, false},
		"no flow":            {func(m *pb.Message) { m.Flow = nil }, false},
		"runtime":            {func(m *pb.Message) { m.Flow.Runtime += "1" }, false},
		"epoch":              {func(m *pb.Message) { m.Flow.Epoch++ }, false},
		"flow id":            {func(m *pb.Message) { m.Flow.Id++ }, false},
		"replica":            {func(m *pb.Message) { m.Flow.Replica = "" }, false},
		"acks":               {func(m *pb.Message) { m.Flow.Acks = []*pb.FlowAck{{Id: 1}} }, false},
		"refused":            {func(m *pb.Message) { m.Flow.Refused = true }, false},
		"trace":              {func(m *pb.Message) { m.Trace = &pb.Trace{Record: true} }, false},
	} {
		second := first()
		c.change(second)
		var frame []byte
		for _, b := range [][]byte{encodedOf(t, first()), encodedOf(t, second)} {
			frame = append(appendVarint(append(frame, tag(1, bytes)), uint64(len(b))), b...)
		}
		if name == "refused" {
			frame = nil
			for _, m := range []*pb.Message{first(), second} {
				b, _ := Append(nil, m)
				frame = append(appendVarint(append(frame, tag(1, bytes)), uint64(len(b))), b...)
			}
		}
		var got Messages
		if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(frame)}, &got); err != nil || len(got) != 2 {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		if got[0].Alike() || got[1].Alike() != c.alike {
			t.Errorf("%s: alike: %v", name, got[1].Alike())
		}
		if !proto.Equal(got[1].Message(), second) {
			t.Errorf("%s: it is %v", name, got[1].Message())
		}
		if !got[1].Alike() {
			continue
		}
		if own := got[1].Own(); own.ID != second.Id || string(own.Body) != string(second.Body) {
			t.Errorf("%s: it has %q and %q", name, own.ID, own.Body)
		}
	}
}

// A message that is alike to another is one, and has what its head has.
func FuzzAlike(f *testing.F) {
	f.Add(encodedOf(f, first()), encodedOf(f, first()))
	plain := first()
	plain.Flow, plain.Origin, plain.Number = nil, nil, 0
	f.Add(encodedOf(f, plain), encodedOf(f, plain))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var one, two pb.Message
		if Unmarshal(a, &one) != nil {
			return
		}
		like := patternOf(&one, a)
		if !like.fits(b) {
			return
		}
		if err := proto.Unmarshal(b, &two); err != nil {
			t.Fatalf("%x is no message: %v", b, err)
		}
		if own := (Carried{Encoded: b, head: &one, like: like}).Own(); own.ID != two.Id || string(own.Body) != string(two.Body) {
			t.Errorf("%q and %q, want %q and %q", own.ID, own.Body, two.Id, two.Body)
		}
		two.Id, two.Body, two.Number = one.Id, one.Body, one.Number
		if one.Flow != nil && two.Flow != nil {
			f := two.Flow
			f.Sequence, f.Base, f.After, f.Receiver = one.Flow.Sequence, one.Flow.Base, one.Flow.After, one.Flow.Receiver
		}
		if !proto.Equal(&one, &two) {
			t.Errorf("%v is not as %v", &two, &one)
		}
	})
}
