package codec

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// opened is a request with its plain posts among the others, in their places.
func opened(m *Request) *pb.AttachRequest {
	whole, _ := proto.Clone(&m.AttachRequest).(*pb.AttachRequest)
	for at, i := 0, 0; i < len(m.Runs); i++ {
		run := &m.Runs[i]
		for n := range run.Len() {
			p, _ := m.Open(run, n)
			whole.Posts = slices.Insert(whole.Posts, run.Before+at, proto.CloneOf(p))
			at++
		}
	}
	return whole
}

func plainPost(number uint64, to string) *pb.Post {
	return &pb.Post{Number: number, Message: &pb.Message{
		Id: fmt.Sprint(number), Type: "event", From: "a", To: to, Body: []byte(`{"value":1}`),
	}}
}

func plainRequest() *pb.AttachRequest {
	r := &pb.AttachRequest{}
	for n := range uint64(5) {
		r.Posts = append(r.Posts, plainPost(n+1, "b"))
	}
	return r
}

// What makes a run, and what does not.
func TestRuns(t *testing.T) {
	long := plainPost(3, "b")
	long.Message.Body = make([]byte, longestPlain)
	bare := plainPost(3, "b")
	bare.Message.Body = nil
	asked := plainPost(3, "b")
	asked.Sequence = 9
	again := plainPost(3, "b")
	again.Again = true
	empty := plainPost(3, "")
	flagged := plainPost(3, "b")
	flagged.Message.P2P = true
	var many []*pb.Post
	for n := range uint64(100) {
		many = append(many, plainPost(n+1, "b"))
	}
	for name, c := range map[string]struct {
		posts []*pb.Post
		want  string // of each run: how many others are before it, and how long it is
	}{
		"one":              {[]*pb.Post{plainPost(1, "b")}, "0+1"},
		"alike":            {[]*pb.Post{plainPost(1, "b"), plainPost(2, "b"), bare}, "0+3"},
		"another receiver": {[]*pb.Post{plainPost(1, "b"), plainPost(2, "c"), plainPost(3, "c")}, "0+1 0+2"},
		"a longer one":     {[]*pb.Post{plainPost(1, "b"), plainPost(2, "bb")}, "0+1 0+1"},
		"a gap":            {[]*pb.Post{plainPost(1, "b"), plainPost(3, "b")}, "0+1 0+1"},
		"another between":  {[]*pb.Post{plainPost(1, "b"), plainPost(2, "b"), asked, plainPost(4, "b")}, "0+2 1+1"},
		"no number":        {[]*pb.Post{plainPost(0, "b")}, ""},
		"again":            {[]*pb.Post{again}, ""},
		"no receiver":      {[]*pb.Post{empty}, ""},
		"a flag":           {[]*pb.Post{flagged}, ""},
		"long":             {[]*pb.Post{long}, ""},
		"many":             {many, "0+64 0+36"},
	} {
		want := &pb.AttachRequest{Posts: c.posts}
		encoded := map[string][]byte{"by a client": asPosted(t, want)}
		var err error
		if encoded["by any"], err = proto.Marshal(want); err != nil {
			t.Fatal(err)
		}
		for by, b := range encoded {
			var m Request
			if err := takeInto(&m, b); err != nil {
				t.Fatal(err)
			}
			var runs []string
			for i := range m.Runs {
				runs = append(runs, fmt.Sprint(m.Runs[i].Before, "+", m.Runs[i].Len()))
			}
			if got := strings.Join(runs, " "); got != c.want {
				t.Errorf("%s, %s: runs are %q, want %q", name, by, got, c.want)
			}
			if got := opened(&m); !proto.Equal(got, want) {
				t.Errorf("%s, %s: read %v\nwant %v", name, by, got, want)
			}
		}
	}
}

// A plain post with a text that is not UTF-8 is refused like any other.
func TestPlainTextsAreChecked(t *testing.T) {
	for _, text := range []string{"event", "id-1", "from", "to"} {
		b, err := proto.Marshal(&pb.AttachRequest{Posts: []*pb.Post{{Number: 1, Message: &pb.Message{Id: "id-1", Type: "event", From: "from", To: "to"}}}})
		if err != nil {
			t.Fatal(err)
		}
		var m Request
		if err := takeInto(&m, []byte(strings.Replace(string(b), text, "\xff"+text[1:], 1))); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

// delivered is a delivery of a message as package proto makes it, with whose it is.
func delivered(t *testing.T, listener string, message, origin []byte, number uint64) []byte {
	t.Helper()
	var m pb.Message
	if err := proto.Unmarshal(message, &m); err != nil {
		t.Fatal(err)
	}
	m.Origin, m.Number = origin, number
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: listener, Message: &m}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
