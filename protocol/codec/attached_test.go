package codec

import (
	"slices"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func takeInto(m *Request, b []byte) error {
	return GRPC{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
}

// A frame that is read has nothing of the one before, also when package proto read that.
func TestARequestThatIsUsedAgain(t *testing.T) {
	b, err := proto.Marshal(&pb.AttachRequest{Posts: []*pb.Post{{Sequence: 1, Again: true, Message: &pb.Message{To: "a"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, first := range map[string][]byte{"usual": b, "odd": append(b[:len(b):len(b)], 0x9a, 0x00, 0x00)} {
		var m Request
		if err := takeInto(&m, first); err != nil {
			t.Fatal(err)
		}
		if err := takeInto(&m, []byte{0x1a, 2, 0x30, 5}); err != nil {
			t.Fatal(err)
		}
		if want := (&pb.Post{Number: 5}); len(m.Posts) != 1 || !proto.Equal(m.Posts[0], want) {
			t.Errorf("after %s: read %v, want %v", name, m.Posts, want)
		}
	}
}

// What a bus reads is what package proto reads, whatever was read before; and the bytes
// that go on are those of the message.
func FuzzRequest(f *testing.F) {
	full, err := proto.Marshal(filledRequest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full, full)
	f.Add([]byte{0x1a, 0x06, 0x12, 0x00, 0x12, 0x02, 0x0a, 0x00}, full) // a post with two messages
	f.Add([]byte{0x1a, 2, 0x08, 1, 0x9a, 0x00, 0x00}, []byte{0x1a, 0})  // a tag with a byte too many
	f.Add([]byte{0x1a, 6, 0x12, 4, 0x1a, 0, 0x1a, 0}, full)             // a field twice
	plain, err := proto.Marshal(plainRequest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain, full)
	for _, stub := range [][]byte{inboundBytes(f, false, inboundPosts(5)...), inboundBytes(f, true, inboundPosts(5)...)} {
		f.Add(stub, plain)
	}
	f.Fuzz(func(t *testing.T, one, other []byte) {
		got := Request{Room: 20}
		for _, b := range [][]byte{one, other, one} {
			var want pb.AttachRequest
			wrong, err := proto.Unmarshal(b, &want), takeInto(&got, b)
			if slices.ContainsFunc(want.Posts, func(p *pb.Post) bool { return len(p.GetSequels()) > 0 }) {
				return // FuzzRows is of these
			}
			if (err == nil) != (wrong == nil) {
				t.Fatalf("%v, want %v", err, wrong)
			}
			if err != nil {
				return // the stream is over
			}
			if whole := opened(&got); !proto.Equal(whole, &want) || len(got.Encoded) != len(got.Posts) {
				t.Fatalf("read %v\nwant %v", whole, &want)
			}
			goesOn(t, &got)
			goesOnInRuns(t, &got)
		}
	})
}

// goesOnInRuns checks plain posts: their bytes are what anybody makes of them, and what is
// said of them is what they say.
func goesOnInRuns(t *testing.T, m *Request) {
	for i := range m.Runs {
		run := &m.Runs[i]
		if run.In != nil {
			arrives(t, m, run)
			continue
		}
		posts := m.Plain(run)
		for n := range posts {
			plain := &posts[n]
			encoded := run.AppendMessage(nil, plain)
			var one pb.Message
			if err := proto.Unmarshal(encoded, &one); err != nil {
				t.Fatal(err)
			}
			own, err := Append(nil, &one)
			if err != nil || string(own) != string(encoded) || run.MessageSize(plain) != len(own) {
				t.Fatalf("%v: a plain post goes on as %x, is %x", err, encoded, own)
			}
			if one.Id != string(plain.ID) || string(one.Body) != string(plain.Body) || one.Type != run.Type || one.From != run.From || one.To != run.To {
				t.Fatalf("a plain post is taken for %q %q, is %v", plain.ID, plain.Body, &one)
			}
		}
		checksRow(t, m, run, []byte("o"))
	}
}

func goesOn(t *testing.T, m *Request) {
	for i, encoded := range m.Encoded {
		if encoded == nil {
			continue
		}
		var one, marked pb.Message
		if err := proto.Unmarshal(encoded, &one); err != nil || !proto.Equal(&one, m.Posts[i].Message) {
			t.Fatalf("%v: post %d goes on as %v, is %v", err, i, &one, m.Posts[i].Message)
		}
		err := proto.Unmarshal(AppendOrigin(encoded, []byte("o"), 7), &marked)
		if one.Origin, one.Number = []byte("o"), 7; err != nil || !proto.Equal(&one, &marked) {
			t.Fatalf("%v: post %d is marked as %v, want %v", err, i, &marked, &one)
		}
	}
}
