package codec

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// inboundPost is the n-th of a flow, as a stub posts it.
func inboundPost(n uint64) *pb.Post {
	return &pb.Post{
		Ingress: &pb.Ingress{RemoteRuntimeUrl: "r"},
		Message: &pb.Message{
			Id: fmt.Sprint(n), Type: "event", From: "a", To: "b", Via: "v", Body: []byte(`{"value":1}`), Origin: []byte("o"), Number: n + 10,
			Flow: &pb.Flow{Runtime: "r", Epoch: 5, Id: 1 << 63, Replica: "p", Sequence: n + 100, Base: 3},
		},
	}
}

func inboundPosts(n uint64) (posts []*pb.Post) {
	for i := range n {
		posts = append(posts, inboundPost(i))
	}
	return posts
}

// inboundBytes are posts as a stub sends them: one that carries the bytes on, with its via in
// front, or one that encodes them.
func inboundBytes(t testing.TB, carried bool, posts ...*pb.Post) []byte {
	if !carried {
		b, err := proto.Marshal(&pb.AttachRequest{Posts: posts})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var b []byte
	for _, p := range posts {
		m := proto.CloneOf(p.Message)
		m.Via, m.Flow, m.Trace = "", nil, nil
		encoded, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if f := p.Message.Flow; f != nil {
			encoded = AppendFlow(encoded, NewFlowName(f), FlowPlace{Sequence: f.Sequence, Base: f.Base, After: f.After, Receiver: f.Receiver, Acks: f.Acks})
		}
		c := NewCarried(Whole(m, encoded), p.Message.Via, p.Ingress)
		if b, err = c.Append(AppendHead(b, Head{Number: p.Number}, c.Size())); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// inboundWith is the n-th with something changed.
func inboundWith(n uint64, change func(p *pb.Post, m *pb.Message)) *pb.Post {
	p := inboundPost(n)
	change(p, p.Message)
	return p
}

// What makes a run of messages of a flow, and what does not.
func TestInboundRuns(t *testing.T) {
	second := func(change func(p *pb.Post, m *pb.Message)) []*pb.Post {
		return []*pb.Post{inboundPost(0), inboundWith(1, change), inboundPost(2)}
	}
	highest := func(m *pb.Message) { m.Number, m.Flow.Sequence = math.MaxUint64, math.MaxUint64 }
	for name, c := range map[string]struct {
		posts []*pb.Post
		want  string // of each run: how many others are before it, and how long it is
	}{
		"one":                {inboundPosts(1), "0+1"},
		"alike":              {inboundPosts(3), "0+3"},
		"many":               {inboundPosts(100), "0+64 0+36"},
		"no body":            {second(func(_ *pb.Post, m *pb.Message) { m.Body = nil }), "0+3"},
		"a higher base":      {second(func(_ *pb.Post, m *pb.Message) { m.Flow.Base = 4 }), "0+2 0+1"},
		"a base beyond":      {second(func(_ *pb.Post, m *pb.Message) { m.Flow.Base = 101 }), "0+1 0+1 0+1"},
		"a gap":              {[]*pb.Post{inboundPost(0), inboundPost(2)}, "0+1 0+1"},
		"after":              {second(func(_ *pb.Post, m *pb.Message) { m.Flow.After = 9 }), "0+1 0+2"},
		"a receiver":         {second(func(_ *pb.Post, m *pb.Message) { m.Flow.Receiver = 9 }), "0+1 1+1"},
		"an ack":             {second(func(_ *pb.Post, m *pb.Message) { m.Flow.Acks = []*pb.FlowAck{{}} }), "0+1 1+1"},
		"a refusal":          {second(func(_ *pb.Post, m *pb.Message) { m.Flow.Refused = true }), "0+1 1+1"},
		"no flow":            {second(func(_ *pb.Post, m *pb.Message) { m.Flow = nil }), "0+1 1+1"},
		"no origin":          {second(func(_ *pb.Post, m *pb.Message) { m.Origin, m.Number = nil, 0 }), "0+1 1+1"},
		"another origin":     {second(func(_ *pb.Post, m *pb.Message) { m.Origin = []byte("q") }), "0+1 0+1 0+1"},
		"another epoch":      {second(func(_ *pb.Post, m *pb.Message) { m.Flow.Epoch = 6 }), "0+1 0+1 0+1"},
		"another replica":    {second(func(_ *pb.Post, m *pb.Message) { m.Flow.Replica = "" }), "0+1 0+1 0+1"},
		"another runtime":    {second(func(p *pb.Post, _ *pb.Message) { p.Ingress.RemoteRuntimeUrl = "s" }), "0+1 0+1 0+1"},
		"a Message Node":     {second(func(p *pb.Post, _ *pb.Message) { p.Ingress = &pb.Ingress{} }), "0+1 0+1 0+1"},
		"another receiver":   {second(func(_ *pb.Post, m *pb.Message) { m.To = "c" }), "0+1 0+1 0+1"},
		"another stub":       {second(func(_ *pb.Post, m *pb.Message) { m.Via = "w" }), "0+1 0+1 0+1"},
		"no stub":            {second(func(_ *pb.Post, m *pb.Message) { m.Via = "" }), "0+1 1+1"},
		"from nowhere":       {second(func(p *pb.Post, _ *pb.Message) { p.Ingress = nil }), "0+1 1+1"},
		"a flag":             {second(func(_ *pb.Post, m *pb.Message) { m.P2P = true }), "0+1 1+1"},
		"a trace":            {second(func(_ *pb.Post, m *pb.Message) { m.Trace = &pb.Trace{Record: true} }), "0+1 1+1"},
		"a number":           {second(func(p *pb.Post, _ *pb.Message) { p.Number = 7 }), "0+1 1+1"},
		"long":               {second(func(_ *pb.Post, m *pb.Message) { m.Body = make([]byte, longestPlain) }), "0+1 1+1"},
		"the highest number": {[]*pb.Post{inboundWith(0, func(_ *pb.Post, m *pb.Message) { highest(m) }), inboundWith(1, func(_ *pb.Post, m *pb.Message) { m.Number, m.Flow.Sequence = 0, 0 })}, "0+1"},
		"a plain one":        {[]*pb.Post{inboundPost(0), plainPost(11, "b"), inboundPost(1)}, "0+1 0+1 0+1"},
	} {
		for _, carried := range []bool{false, true} {
			if carried && slices.ContainsFunc(c.posts, func(p *pb.Post) bool { return !carries(p) }) {
				continue
			}
			want := &pb.AttachRequest{Posts: c.posts}
			var m Request
			if err := takeInto(&m, inboundBytes(t, carried, c.posts...)); err != nil {
				t.Fatal(err)
			}
			var runs []string
			for i := range m.Runs {
				runs = append(runs, fmt.Sprint(m.Runs[i].Before, "+", m.Runs[i].Len()))
			}
			if got := strings.Join(runs, " "); got != c.want {
				t.Errorf("%s (carried: %v): runs are %q, want %q", name, carried, got, c.want)
			}
			if got := opened(&m); !proto.Equal(got, want) {
				t.Errorf("%s (carried: %v): read %v\nwant %v", name, carried, got, want)
			}
			goesOnInRuns(t, &m)
		}
	}
}

// carries tells whether a stub carries the bytes of such a message on.
func carries(p *pb.Post) bool {
	return p.Ingress != nil && p.Message.Via != "" && p.Message.Trace == nil && !p.Message.GetFlow().GetRefused()
}

// arrives checks messages of a flow: what is said of them is what they say, and they are
// delivered as they are without their flow.
func arrives(t *testing.T, m *Request, run *Run) {
	t.Helper()
	sizes := m.Sizes(nil, run)
	for n, plain := range m.Plain(run) {
		var one pb.Message
		encoded := run.appendMessage(nil, &plain, n)
		if err := proto.Unmarshal(encoded, &one); err != nil || len(encoded) != sizes[n] {
			t.Fatalf("%v: %d bytes, and not %d", err, len(encoded), sizes[n])
		}
		in, number, sequence := run.In, run.First+uint64(n), run.In.Flow.Sequence+uint64(n) // not negative
		after := in.Flow.After
		if n > 0 {
			after = 0
		}
		flow := &pb.Flow{
			Runtime: in.Flow.Runtime, Epoch: in.Flow.Epoch, Id: in.Flow.Id, Replica: in.Flow.Replica,
			Sequence: sequence, Base: one.GetFlow().GetBase(), After: after,
		}
		want := &pb.Message{
			Id: string(plain.ID), Type: run.Type, From: run.From, To: run.To, Via: in.Via, Body: plain.Body,
			Origin: in.Origin, Number: number, Flow: flow,
		}
		if !proto.Equal(&one, want) || flow.Base > in.Flow.Base || in.Flow.Base > in.Flow.Sequence {
			t.Fatalf("a message is taken for %v (base %d), is %v", want, in.Flow.Base, &one)
		}
	}
	checksRow(t, m, run, nil)
}

// A message of a flow with a text that is not UTF-8 is refused like any other.
func TestInboundTextsAreChecked(t *testing.T) {
	p := inboundWith(0, func(p *pb.Post, m *pb.Message) {
		m.Id, m.Type, m.From, m.To, m.Via = "id-1", "event", "from", "to-1", "via-1"
		m.Flow.Runtime, m.Flow.Replica, p.Ingress.RemoteRuntimeUrl = "runtime", "replica", "remote"
	})
	for _, carried := range []bool{false, true} {
		for _, text := range []string{"id-1", "event", "from", "to-1", "via-1", "runtime", "replica", "remote"} {
			b := inboundBytes(t, carried, p)
			var m Request
			if err := takeInto(&m, []byte(strings.Replace(string(b), text, "\xff"+text[1:], 1))); err == nil {
				t.Errorf("%s was taken", text)
			}
		}
	}
}

// Nothing of a frame is kept once it is given back: neither of its runs, nor of what has begun
// like one.
func TestClearKeepsNoInbound(t *testing.T) {
	for name, last := range map[string]*pb.Post{
		"no flow": inboundWith(2, func(_ *pb.Post, m *pb.Message) { m.Flow = nil }), "an ack": inboundWith(2, func(_ *pb.Post, m *pb.Message) { m.Flow.Acks = []*pb.FlowAck{{}} }),
		"no ingress": inboundWith(2, func(p *pb.Post, _ *pb.Message) {
			p.Ingress = &pb.Ingress{}
			p.Ingress.ProtoReflect().SetUnknown([]byte{0x78, 1})
		}),
	} {
		var m Request
		if err := takeInto(&m, inboundBytes(t, false, inboundPost(0), inboundPost(1), last)); err != nil {
			t.Fatal(err)
		}
		m.Clear()
		for i, in := range m.inbounds[:cap(m.inbounds)] {
			if in != nil && (in.Via != "" || in.Origin != nil || in.name != nil || in.ingress != nil || in.Flow.Runtime != "") {
				t.Errorf("%s: of message %d there is still %q", name, i, in.name)
			}
		}
	}
}
