package codec

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func content(t *testing.T, m *pb.Message, id string, in *pb.Ingress) []byte {
	t.Helper()
	c := Content{Message: m, Ingress: in}
	if m.Id == "" {
		c.ID([]byte(id))
	}
	c.Measure(&Usual{})
	b, err := c.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Head and content together are the post, for package proto and for us.
func TestAPostInTwoParts(t *testing.T) {
	full, _ := filled(&pb.Message{}).(*pb.Message)
	in := &pb.Ingress{RemoteRuntimeUrl: "hyperty-runtime://b.example/r"}
	for _, want := range []*pb.Post{
		{Message: &pb.Message{}},
		{Message: full, Ingress: &pb.Ingress{}, Number: 1},
		{Message: full, Ingress: in, Sequence: 1 << 63, Number: 1 << 63, Again: true, Wait: pb.Wait_WAIT_RESPONSE, Timeout: durationpb.New(10*time.Minute + 999*time.Millisecond)},
		{Message: full, Timeout: durationpb.New(time.Millisecond)},
	} {
		body := content(t, want.Message, "not this one", want.Ingress)
		if want.Message.Id == "" {
			body = content(t, want.Message, "", want.Ingress)
		}
		h := Head{Sequence: want.Sequence, Number: want.Number, Wait: want.Wait, Again: want.Again}
		if want.Timeout != nil {
			h.Timeout = want.Timeout.AsDuration()
		}
		b := AppendHead(nil, h, len(body))
		if len(b) > MaxHead {
			t.Errorf("a head has %d bytes", len(b))
		}
		b = append(b, body...)
		b = AppendHead(b, h, len(body)) // two of them
		b = append(b, body...)
		b = AppendCredit(b, "hyperty://example.org/1", 1<<31)
		b = AppendCredit(b, "", 0)
		request := &pb.AttachRequest{Posts: []*pb.Post{want, want}, Credits: []*pb.Credit{{Listener: "hyperty://example.org/1", Bytes: 1 << 31}, {}}}
		for name, read := range map[string]func([]byte, *pb.AttachRequest) error{
			"proto": func(b []byte, m *pb.AttachRequest) error { return proto.Unmarshal(b, m) },
			"ours":  func(b []byte, m *pb.AttachRequest) error { return unmarshal(b, m) },
		} {
			var got pb.AttachRequest
			if err := read(b, &got); err != nil || !proto.Equal(&got, request) {
				t.Errorf("%s: %v\nread %v\nwant %v", name, err, &got, request)
			}
		}
	}
}

func TestAnIDForAMessageThatHasNone(t *testing.T) {
	for given, want := range map[string]string{"": `"new"`, "7": "7"} {
		m := &pb.Message{Id: given, To: "a"}
		var got pb.Post
		c := measured(m, []byte(`"new"`), &Usual{})
		if err := proto.Unmarshal(content(t, m, `"new"`, nil), &got); err != nil || got.Message.Id != want || m.Id != given {
			t.Errorf("%q: %v, %v", given, err, &got)
		}
		if c.MessageSize() != proto.Size(got.Message) {
			t.Errorf("%q: %d bytes, want %d", given, c.MessageSize(), proto.Size(got.Message))
		}
	}
}

func TestMaxCreditIsEnough(t *testing.T) {
	for _, listener := range []string{"", "a", string(make([]byte, 1<<16))} {
		if n := len(AppendCredit(nil, listener, 1<<32-1)); n > MaxCredit(listener) {
			t.Errorf("%d bytes for a name of %d", n, len(listener))
		}
	}
}

// noted is after a message.
func noted(m *pb.Message) *Usual {
	var u Usual
	u.note(m)
	return &u
}

// measured gives the content of a message, with a generated id if it has none.
func measured(m *pb.Message, id []byte, u *Usual) Content {
	c := Content{Message: m}
	if m.Id == "" {
		c.ID(id)
	}
	if !c.MeasureKnown(u) {
		c.Measure(u)
	}
	return c
}

// A message that is changed while it is encoded is an error, as it is in a frame.
func TestAContentThatIsChanged(t *testing.T) {
	for name, body := range map[string]int{"longer": 1000, "shorter": 0} {
		m := &pb.Message{To: "hyperty://example.org/1"}
		for _, usual := range []*Usual{{}, noted(m)} {
			m.Body = make([]byte, 100)
			c := measured(m, nil, usual)
			m.Body = make([]byte, body)
			if _, err := c.Append(make([]byte, 0, c.Size())); err != errChanged {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Whatever was posted before, a post has the bytes that it has alone.
func TestAMessageAsUsual(t *testing.T) {
	one := &pb.Message{Type: "create", From: "hyperty://example.org/alice", To: "hyperty://example.org/bob", Body: make([]byte, 64)}
	full, _ := filled(&pb.Message{}).(*pb.Message)
	all := []*pb.Message{{}, {}, one, one, {Type: "create", From: one.From, To: one.To, Id: "7"}, full, one}
	for i := range one.ProtoReflect().Descriptor().Fields().Len() { // each field alone is not as usual
		f := one.ProtoReflect().Descriptor().Fields().Get(i)
		m := proto.CloneOf(one)
		m.ProtoReflect().Set(f, full.ProtoReflect().Get(f))
		all = append(all, m, one)
	}
	unknown := proto.CloneOf(one)
	unknown.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01})
	all = append(all, unknown, one, &pb.Message{To: string(make([]byte, maxUsual+1))}, one)
	var usual Usual
	for i, m := range all {
		c := measured(m, []byte(`"new"`), &usual)
		got, err := c.Append([]byte("before"))
		if want := content(t, m, `"new"`, nil); err != nil || string(got) != "before"+string(want) || c.MessageSize() >= len(want) || c.Size() != len(want) {
			t.Errorf("%d, %v: %v\nare   %x\nwant %x", i, m, err, got, want)
		}
	}
	if c := measured(one, nil, &usual); c.usual == nil {
		t.Error("a message with the same texts is not as usual")
	}
	row := usual.row
	usual.Forget()
	if c := measured(one, nil, &usual); usual.row == row || c.usual == nil {
		t.Error("a message that is forgotten goes on with its row")
	}
	if c := (&Content{Message: one, Ingress: &pb.Ingress{RemoteRuntimeUrl: "r"}}); c.MeasureKnown(&usual) {
		t.Error("a message from outside is as usual")
	}
}

// Fields that this version does not have go through.
func TestUnknownFields(t *testing.T) {
	unknown := []byte{0xf8, 0x07, 0x01} // field 127
	m, _ := filled(&pb.Message{}).(*pb.Message)
	for _, one := range []proto.Message{m, m.Resource, m.Flow} {
		one.ProtoReflect().SetUnknown(unknown)
	}
	b, err := Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	var got pb.Message
	if err := proto.Unmarshal(b, &got); err != nil || !proto.Equal(&got, m) {
		t.Errorf("%v\nread %v\nwant %v", err, &got, m)
	}
}

func TestEncodingAPostAllocatesNothing(t *testing.T) {
	m := &pb.Message{Type: "create", From: "hyperty://example.org/alice", To: "hyperty://example.org/bob", Body: make([]byte, 64)}
	b, id := make([]byte, 0, 1<<10), []byte(`"1"`)
	for _, usual := range []*Usual{{}, noted(m)} {
		if n := testing.AllocsPerRun(100, func() {
			c := measured(m, id, usual)
			if _, err := c.Append(b); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
