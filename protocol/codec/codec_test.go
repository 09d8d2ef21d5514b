package codec

import (
	"errors"
	"slices"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// frames are all that is written out.
var frames = []proto.Message{
	&pb.Frame{},
	&pb.AttachRequest{}, &pb.AttachResponse{}, &pb.ListenResponse{},
	&pb.MessageNodeConnectRequest{}, &pb.MessageNodeConnectResponse{},
}

// unmarshal reads a frame of gRPC, or a packet.
func unmarshal(b []byte, m proto.Message) error {
	if f, ok := m.(*pb.Frame); ok {
		return UnmarshalFrame(b, f)
	}
	return GRPC{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
}

// filled gives a message with something in each of its fields, those that are added
// later too.
func filled(m proto.Message) proto.Message {
	m = m.ProtoReflect().New().Interface()
	fill(m.ProtoReflect(), 1)
	return m
}

// filledRequest is filled, without sequels, which few messages may have.
func filledRequest() *pb.AttachRequest {
	full, _ := filled(&pb.AttachRequest{}).(*pb.AttachRequest)
	for _, p := range full.Posts {
		p.Sequels = nil
	}
	return full
}

// filledResponse is likewise.
func filledResponse() *pb.AttachResponse {
	full, _ := filled(&pb.AttachResponse{}).(*pb.AttachResponse)
	for _, d := range full.Deliveries {
		d.Sequels = nil
	}
	return full
}

func fill(m protoreflect.Message, seed int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !f.IsList() {
			m.Set(f, value(m.NewField(f), f, seed+i))
			continue
		}
		list := m.Mutable(f).List()
		for n := range 3 {
			list.Append(value(list.NewElement(), f, seed+i+n))
		}
	}
}

func value(v protoreflect.Value, f protoreflect.FieldDescriptor, seed int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.MessageKind:
		fill(v.Message(), seed)
		return v
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(1 + seed%2))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string(make([]rune, seed)) + "ü")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(append(make([]byte, 50*seed), 0xff))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(-int32(seed)) // small
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(-int64(seed))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(1 << seed)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1 << (2 * seed))
	default:
		panic("no value for " + f.Kind().String())
	}
}

// Whatever is in a field of any of them comes out as it went in, and as package proto
// reads and writes it.
func TestEachFieldGoesThrough(t *testing.T) {
	for _, empty := range frames {
		for _, want := range []proto.Message{empty, filled(empty)} {
			ours, err := GRPC{}.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := proto.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if len(theirs) != ours.Len() {
				t.Errorf("%T: %d bytes, want %d", want, ours.Len(), len(theirs))
			}
			read, again := empty.ProtoReflect().New().Interface(), filled(empty)
			if err := proto.Unmarshal(ours.Materialize(), read); err != nil || !proto.Equal(read, want) {
				t.Errorf("%T: %v\nread %v\nwant %v", want, err, read, want)
			}
			if err := unmarshal(theirs, again); err != nil || !proto.Equal(again, want) {
				t.Errorf("%T: %v\nread %v\nwant %v", want, err, again, want)
			}
		}
	}
}

func TestAMessageAlone(t *testing.T) {
	m, _ := filled(&pb.Message{}).(*pb.Message)
	b, err := Append([]byte("before"), m)
	if err != nil || string(b[:6]) != "before" || len(b) != 6+Size(m) || Size(m) != proto.Size(m) {
		t.Fatalf("%q, %v; %d, want %d", b[:6], err, Size(m), proto.Size(m))
	}
	var read pb.Message
	if err := Unmarshal(b[6:], &read); err != nil || !proto.Equal(&read, m) {
		t.Fatalf("%v\nread %v\nwant %v", err, &read, m)
	}
	clear(b)
	if !proto.Equal(&read, m) {
		t.Error("it shares bytes that are not its own")
	}
	read.Body = append(read.Body, "more"...)
	if string(read.Origin) != string(m.Origin) {
		t.Error("what is appended to the body goes into the next field")
	}
	if Size(nil) != 0 {
		t.Error("none has a size")
	}
}

// A message keeps nothing of the frame that it came in, but for one that is most of it.
func TestMessagesDoNotKeepTheirFrame(t *testing.T) {
	for _, large := range []int{0, 100 << 10} {
		posts := []*pb.Post{{Message: &pb.Message{Body: make([]byte, large)}}}
		for range 10 {
			posts = append(posts, &pb.Post{Message: &pb.Message{To: "hyperty://example.org/1", Body: make([]byte, 900)}})
		}
		b, err := proto.Marshal(&pb.AttachRequest{Posts: posts})
		if err != nil {
			t.Fatal(err)
		}
		var got pb.AttachRequest
		if err := readRequest(frame{data: b}, &got); err != nil {
			t.Fatal(err)
		}
		clear(b)
		for i, p := range got.GetPosts() {
			if kept := p.GetMessage().GetTo() != "hyperty://example.org/1"; kept != (i == 0) {
				t.Errorf("with %d bytes, post %d keeps its frame: %v", large, i, kept)
			}
		}
	}
}

// What a peer sends is taken or refused as package proto does, and read as it reads.
func FuzzRead(f *testing.F) {
	for kind, m := range frames {
		b, err := proto.Marshal(filled(m))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(kind), b) // few
	}
	f.Add(uint8(1), []byte{0x1a, 0x06, 0x12, 0x00, 0x12, 0x02, 0x0a, 0x00}) // a post with two messages
	f.Add(uint8(1), []byte{0x9a, 0x00, 0x00})                               // a tag with a byte too many
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		empty := frames[int(kind)%len(frames)]
		want, got := empty.ProtoReflect().New().Interface(), empty.ProtoReflect().New().Interface()
		wrong := proto.Unmarshal(b, want)
		err := unmarshal(b, got)
		if (err == nil) != (wrong == nil) {
			t.Fatalf("%v, want %v", err, wrong)
		}
		if err != nil {
			return
		}
		if !proto.Equal(got, want) {
			t.Fatalf("read %v\nwant %v", got, want)
		}
		written, err := GRPC{}.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if kind := int(kind) % len(frames); kind >= 4 { // those of a session
			if raw, err := (GRPC{}).Marshal(session(t, b)); err != nil || !sameMessages(raw.Materialize(), written.Materialize()) {
				t.Fatalf("%v: goes on as %x, want %x", err, raw, written)
			}
		}
		var again pb.AttachRequest
		if request, ok := got.(*pb.AttachRequest); ok {
			if err := proto.Unmarshal(written.Materialize(), &again); err != nil || len(again.Posts) != len(request.Posts) {
				t.Fatalf("wrote %v, %v", &again, err)
			}
		}
	})
}

// sameMessages tells whether two frames of a session have the same in them.
func sameMessages(a, b []byte) bool {
	var one, other pb.MessageNodeConnectRequest
	return proto.Unmarshal(a, &one) == nil && proto.Unmarshal(b, &other) == nil &&
		slices.EqualFunc(one.Messages, other.Messages, func(a, b *pb.Message) bool { return proto.Equal(a, b) })
}

// changing is a message that is changed after it was measured.
type changing struct {
	alone
	change func(*pb.Message)
}

func (c changing) write(w *writer) error {
	c.change(c.Message)
	return c.alone.write(w)
}

// A program that changes a message while it is encoded is told so, and goes on.
func TestAMessageThatIsChangedMeanwhile(t *testing.T) {
	for name, change := range map[string]func(*pb.Message){
		"longer":              func(m *pb.Message) { m.Body = make([]byte, 1000) },
		"longer, in the rest": func(m *pb.Message) { m.Trace = &pb.Trace{Tracestate: string(make([]byte, 1000))} },
		"shorter":             func(m *pb.Message) { m.Body = nil },
	} {
		m := &pb.Message{To: "hyperty://example.org/1", Body: make([]byte, 100)}
		if err := encode(changing{alone{m}, change}, make([]byte, Size(m))); !errors.Is(err, errChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// session reads a frame of a session as a Message Node does.
func session(t *testing.T, b []byte) (m Messages) {
	t.Helper()
	if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMessagesGoOnAsTheyCame(t *testing.T) {
	one, _ := filled(&pb.Message{}).(*pb.Message)
	plain := &pb.Message{Id: "1", To: "b", Body: []byte("{}")}
	want := &pb.MessageNodeConnectRequest{Messages: []*pb.Message{one, plain, plain, {To: "c", Flow: &pb.Flow{Runtime: "r"}}}}
	b, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	odd := append(slices.Clone(b), 0x8a, 0x00, 0x00) // one more; package proto reads it
	for _, frame := range [][]byte{b, odd} {
		got := session(t, frame)
		for i, m := range want.Messages {
			if !proto.Equal(got[i].Message(), m) || got[i].Size() != proto.Size(m) {
				t.Errorf("message %d is %v, of %d bytes", i, got[i].Message(), got[i].Size())
			}
		}
	}
	got := session(t, b)
	got[1] = Bare(&pb.Message{Id: "2"}) // it was changed
	out, err := GRPC{}.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want.Messages[1] = &pb.Message{Id: "2"}
	var read pb.MessageNodeConnectResponse
	if err := proto.Unmarshal(out.Materialize(), &read); err != nil || len(read.Messages) != 4 {
		t.Fatal(err, &read)
	}
	for i, m := range read.Messages {
		if !proto.Equal(m, want.Messages[i]) {
			t.Errorf("message %d went on as %v", i, m)
		}
	}
}

// Messages of a frame to one receiver share a copy, of no more than a bound; others do not.
func TestMessagesOfOneReceiverShareTheirBytes(t *testing.T) {
	var all []*pb.Message
	for _, to := range []string{"a", "a", "b", "b"} {
		all = append(all, &pb.Message{To: to, Body: make([]byte, 1000)})
	}
	all = append(all, &pb.Message{To: "b", Body: make([]byte, together-1000)}, &pb.Message{To: "b"})
	b, err := proto.Marshal(&pb.MessageNodeConnectRequest{Messages: all})
	if err != nil {
		t.Fatal(err)
	}
	got := session(t, b)
	var sizes []int
	for rest := got; len(rest) > 0; {
		n, _ := rest.run()
		sizes, rest = append(sizes, n), rest[n:]
	}
	if !slices.Equal(sizes, []int{2, 2, 2}) {
		t.Errorf("%v messages are together", sizes)
	}
	for i, c := range got {
		if cap(c.Encoded) != len(c.Encoded) {
			t.Errorf("what is appended to message %d goes into the next one", i)
		}
	}
}
