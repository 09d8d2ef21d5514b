package framing_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/framing"
)

func withSequels() framing.Options {
	o := options()
	o.Sequels = true
	return o
}

// inFlow are messages as one sender posts them to one receiver.
func inFlow(n int) []*pb.Message {
	var all []*pb.Message
	for i := range n {
		all = append(all, &pb.Message{
			Id: fmt.Sprintf(`"2ed03fe6-d02e-4cf1-a0f1-315dc659deae-%d"`, i), Type: "create",
			From: "hyperty://example.org/sender", To: "hyperty://example.org/receiver", Body: []byte(`{"value":1}`),
			Origin: []byte("0123456789abcdef"), Number: uint64(i), // small
			Flow: &pb.Flow{Runtime: "hyperty-runtime://example.org/alice", Epoch: 1 << 60, Id: 1 << 61, Sequence: uint64(i), Base: 1}, // small
		})
	}
	return all
}

// through gives what an encoder and a decoder make of messages, and how many bytes of
// packets that takes.
func through(t *testing.T, o framing.Options, in []*pb.Message) (out []*pb.Message, bytes int) {
	t.Helper()
	e, d := framing.New(framing.PeerBus, o)
	for _, m := range in {
		if err := e.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	ps := packets(e)
	for _, p := range ps {
		bytes += len(p.Data)
	}
	return decode(t, d, ps), bytes
}

func sameMessages(t *testing.T, in, out []*pb.Message) {
	t.Helper()
	if len(in) != len(out) {
		t.Fatalf("%d messages, not %d", len(out), len(in))
	}
	for i, m := range in {
		if !proto.Equal(m, out[i]) {
			t.Errorf("message %d:\n%v, not\n%v", i, out[i], m)
		}
	}
}

func TestSequelsAreShort(t *testing.T) {
	in := inFlow(1000)
	plain, long := through(t, options(), in)
	out, short := through(t, withSequels(), in)
	sameMessages(t, in, plain)
	sameMessages(t, in, out)
	if short > long/3 {
		t.Errorf("%d bytes, and %d without", short, long)
	}
}

// fields gives a message for each field of a type: one in which that is set alone, and
// one in which it has another value.
func fields(kind protoreflect.MessageType) (all []proto.Message) {
	list := kind.Descriptor().Fields()
	for i := range list.Len() {
		for _, seed := range []int{1, 2} {
			m, f := kind.New(), list.Get(i)
			set(m, f, seed)
			all = append(all, m.Interface())
		}
	}
	return all
}

func set(m protoreflect.Message, f protoreflect.FieldDescriptor, seed int) {
	switch {
	case f.IsList():
		m.Mutable(f).List().AppendMutable()
	case f.Kind() == protoreflect.MessageKind:
		sub := m.Mutable(f).Message()
		set(sub, sub.Descriptor().Fields().Get(0), seed)
	case f.Kind() == protoreflect.StringKind:
		m.Set(f, protoreflect.ValueOfString(strings.Repeat("ü", seed)))
	case f.Kind() == protoreflect.BytesKind:
		m.Set(f, protoreflect.ValueOfBytes([]byte{byte(seed)}))
	case f.Kind() == protoreflect.BoolKind:
		m.Set(f, protoreflect.ValueOfBool(true))
	default:
		m.Set(f, protoreflect.ValueOfUint64(uint64(seed))) // small
	}
}

// Each field, of a message and of its flow, comes out whatever the message before has.
func TestSequelsHaveEachField(t *testing.T) {
	variants := []*pb.Message{{}}
	for _, m := range fields((&pb.Message{}).ProtoReflect().Type()) {
		variants = append(variants, m.(*pb.Message)) // they are
	}
	for _, f := range fields((&pb.Flow{}).ProtoReflect().Type()) {
		variants = append(variants, &pb.Message{Flow: f.(*pb.Flow)}) // they are
	}
	unknown := &pb.Message{Id: "1"}
	unknown.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 7))
	variants = append(variants, unknown)
	for _, before := range variants {
		for _, after := range variants {
			in := []*pb.Message{before, after, before}
			out, _ := through(t, withSequels(), in)
			sameMessages(t, in, out)
		}
	}
}

// An id is cut between characters.
func TestSequelsCutNoCharacter(t *testing.T) {
	in := []*pb.Message{{Id: `"aä"`}, {Id: `"aö"`}, {Id: `"aöü"`}, {Id: `"a"`}, {Id: `7`}, {Id: `71`}}
	out, _ := through(t, withSequels(), in)
	sameMessages(t, in, out)
}

// What messages become by what they have left out is bounded.
func TestSequelsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	f := &pb.Frame{Messages: []*pb.Message{{From: long, To: "b"}}}
	for range 1000 {
		f.Sequels = append(f.Sequels, &pb.Sequel{Message: &pb.Message{To: "b"}, Same: 2})
	}
	_, d := framing.New(framing.PeerBus, options())
	r, err := d.Decode(framing.Packet{Data: marshal(t, f)})
	if fault.CodeOf(err) != fault.TooLarge || len(r.Messages) > 14 {
		t.Errorf("%d messages, %v", len(r.Messages), err)
	}
	var in []*pb.Message
	for i := range 100 {
		in = append(in, &pb.Message{Id: fmt.Sprint(i), From: long, To: "b"})
	}
	out, _ := through(t, withSequels(), in)
	sameMessages(t, in, out)
}

func marshal(t *testing.T, f *pb.Frame) []byte {
	t.Helper()
	b, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSequelsOfNothing(t *testing.T) {
	first := []*pb.Message{{Id: "ä", To: "a"}}
	for name, f := range map[string]*pb.Frame{
		"none before":        {Sequels: []*pb.Sequel{{Message: &pb.Message{To: "a"}}}},
		"no message":         {Messages: first, Sequels: []*pb.Sequel{{Same: 4}}},
		"unknown field":      {Messages: first, Sequels: []*pb.Sequel{{Message: &pb.Message{}, Same: 128}}},
		"id too short":       {Messages: first, Sequels: []*pb.Sequel{{Message: &pb.Message{}, SameId: 3}}},
		"id of most":         {Messages: first, Sequels: []*pb.Sequel{{Message: &pb.Message{}, SameId: 1<<32 - 1}}},
		"half a character":   {Messages: first, Sequels: []*pb.Sequel{{Message: &pb.Message{}, SameId: 1}}},
		"no flow":            {Messages: first, Sequels: []*pb.Sequel{{Message: &pb.Message{}, Same: 16}}},
		"no flow before":     {Messages: first, Sequels: []*pb.Sequel{{Message: &pb.Message{Flow: &pb.Flow{}}, Same: 32}}},
		"after a good one":   {Messages: first, Sequels: []*pb.Sequel{{Message: &pb.Message{}, Same: 4}, {}}},
		"more of an id, too": {Messages: first, Sequels: []*pb.Sequel{{Message: &pb.Message{Id: "x"}, SameId: 2}, {Message: &pb.Message{}, SameId: 4}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, d := framing.New(framing.PeerBus, options())
			r, err := d.Decode(framing.Packet{Data: marshal(t, f)})
			if fault.CodeOf(err) != fault.BadRequest {
				t.Errorf("%v", err)
			}
			if len(f.Messages) > 0 && (len(r.Messages) == 0 || r.Messages[0].Message().Id != "ä") {
				t.Errorf("what is good is gone: %v", r.Messages)
			}
		})
	}
}

// carried gives messages as who passes them on has them: those that are alike are not
// decoded.
func carried(t *testing.T, in []*pb.Message) (all codec.Messages) {
	t.Helper()
	b, err := codec.GRPC{}.Marshal(&pb.MessageNodeConnectRequest{Messages: in})
	if err == nil {
		err = codec.GRPC{}.Unmarshal(b, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What is passed on without decoding makes the same packets.
func TestSequelsOfWhatIsAlike(t *testing.T) {
	in := inFlow(200)
	for i, m := range in {
		switch i % 20 {
		case 3:
			m.Body, m.Number = nil, 0
		case 7:
			m.Flow.Acks = []*pb.FlowAck{{Epoch: 1, Id: 2}}
		case 11:
			m.To += "/other"
		case 13:
			m.Id = `"a"`
		case 17:
			m.Flow.After, m.Flow.Receiver, m.Flow.Base = 3, 4, 0
		}
	}
	all, alike := carried(t, in), 0
	decoded, _ := framing.New(framing.PeerBus, withSequels())
	e, d := framing.New(framing.PeerBus, withSequels())
	for i, c := range all {
		if c.Alike() {
			alike++
		}
		if err := errors.Join(e.Carry(c), decoded.Add(in[i])); err != nil {
			t.Fatal(err)
		}
	}
	if alike < len(all)/2 {
		t.Errorf("%d of %d are alike", alike, len(all))
	}
	ps, want := packets(e), packets(decoded)
	for i := range want {
		if len(ps) != len(want) || string(ps[i].Data) != string(want[i].Data) {
			t.Fatalf("packet %d of %d and %d is another one", i, len(ps), len(want))
		}
	}
	sameMessages(t, in, decode(t, d, ps))
}

// One that has not left is given back whole.
func TestDrainOfWhatIsAlike(t *testing.T) {
	in := inFlow(20)
	in[3].Body = []byte(`{"value":"` + strings.Repeat("x", 100<<10) + `"}`) // and what is behind it
	e, _ := framing.New(framing.PeerBus, withSequels())
	for _, c := range carried(t, in) {
		if err := e.Carry(c); err != nil {
			t.Fatal(err)
		}
	}
	sameMessages(t, in, e.Drain())
}

// Fields that are not known here go on, wherever an encoder has put them.
func TestSequelsKeepWhatIsNotKnown(t *testing.T) {
	field := func(number protowire.Number, value string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value)
	}
	unknown := field(100, "later")
	flow := slices.Concat(field(1, "hyperty-runtime://a/1"), unknown, []byte{3 << 3, 6, 4 << 3, 7})
	for name, one := range map[string][]byte{
		"head": slices.Concat(field(1, `"1"`), field(2, "event"), unknown, field(3, "a"), field(4, "b")),
		"flow": slices.Concat(field(1, `"1"`), field(2, "event"), field(3, "a"), field(4, "b"), field(14, string(flow))),
	} {
		frame := slices.Concat(field(1, string(one)), field(1, string(one)))
		var all codec.Messages
		if err := (codec.GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(frame)}, &all); err != nil {
			t.Fatal(err)
		}
		var want pb.Message
		if err := proto.Unmarshal(one, &want); err != nil {
			t.Fatal(err)
		}
		e, d := framing.New(framing.PeerBus, withSequels())
		for _, c := range all {
			if err := e.Carry(c); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(name, func(t *testing.T) { sameMessages(t, []*pb.Message{&want, &want}, decode(t, d, packets(e))) })
	}
}

// Packets are longer for a peer that takes such, and only where the path is said to be fast.
func TestLongPackets(t *testing.T) {
	usual := framing.DefaultLimits().Packet + framing.Headroom
	for name, tc := range map[string]struct {
		takes    int
		lengthen bool
		longest  int
	}{
		"it says nothing":    {0, true, usual},
		"it takes long ones": {framing.LongPacket, true, framing.LongPacket},
		"the path is slow":   {framing.LongPacket, false, usual},
		"it takes some":      {20_000, true, 20_000},
		"it takes any":       {1 << 30, true, framing.LongPacket},
		"it takes nonsense":  {-1, true, usual},
	} {
		t.Run(name, func(t *testing.T) {
			o := withSequels()
			o.Packet = tc.takes
			e, d := framing.New(framing.PeerBus, o)
			in := append(inFlow(2000), binaryMsg(1, 100_000))
			for _, m := range in {
				if err := e.Add(m); err != nil {
					t.Fatal(err)
				}
			}
			e.Lengthen(tc.lengthen)
			longest := 0
			ps := packets(e)
			for _, p := range ps {
				longest = max(longest, len(p.Data))
			}
			if longest > tc.longest || longest < tc.longest-100 {
				t.Errorf("the longest packet has %d bytes, want up to %d", longest, tc.longest)
			}
			if out := decode(t, d, ps); len(out) != len(in) {
				t.Errorf("%d messages of %d", len(out), len(in))
			}
		})
	}
}
