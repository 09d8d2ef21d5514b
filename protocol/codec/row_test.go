package codec

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// follows is a message that says what a sequel does, behind another one; false if it says more.
func follows(before, sequel *pb.Message) (*pb.Message, bool) {
	if before == nil {
		return nil, false
	}
	one := proto.CloneOf(before)
	one.Id, one.Body = sequel.GetId(), sequel.GetBody()
	return one, sequel.GetId() != "" && proto.Equal(sequel, &pb.Message{Id: sequel.GetId(), Body: sequel.GetBody()})
}

// unrolled is a request as one without sequels; false when it has some where none may be.
func unrolled(r *pb.AttachRequest) (*pb.AttachRequest, bool) {
	all, leftOut := proto.CloneOf(r), 0
	all.Posts = nil
	for _, p := range r.Posts {
		one := proto.CloneOf(p)
		one.Sequels = nil
		all.Posts = append(all.Posts, one)
		if len(p.Sequels) > 0 && !plainOnly(one) {
			some, ok := arrivingOf(p)
			if !ok {
				return nil, false
			}
			all.Posts = append(all.Posts[:len(all.Posts)-1], some...)
			continue
		}
		for _, s := range p.Sequels {
			m, ok := follows(one.Message, s)
			if !ok {
				return nil, false
			}
			if leftOut += proto.Size(m) - proto.Size(s); leftOut > leftOutBytes {
				return nil, false
			}
			one = &pb.Post{Number: one.Number + 1, Message: m}
			all.Posts = append(all.Posts, one)
		}
	}
	return all, true
}

// arrivingOf are the posts that a stub's post with sequels is; false if it is none.
func arrivingOf(p *pb.Post) (posts []*pb.Post, ok bool) {
	if p.GetMessage().GetVia() == "" || p.Ingress == nil || len(p.Ingress.ProtoReflect().GetUnknown()) > 0 || !proto.Equal(p, &pb.Post{Message: p.Message, Ingress: p.Ingress, Sequels: p.Sequels}) {
		return nil, false
	}
	row := &pb.Row{Message: proto.CloneOf(p.Message), Sequels: p.Sequels}
	row.Message.Via = ""
	all, ok := messagesOf(row)
	for _, m := range all {
		m.Via = p.Message.Via
		posts = append(posts, &pb.Post{Message: m, Ingress: p.Ingress})
	}
	return posts, ok
}

// saysReplica tells whether a message of a request is of one of several buses: in a row that stands
// in front of its place, as package proto does not have it.
func saysReplica(r *pb.AttachRequest) bool {
	return slices.ContainsFunc(r.Posts, func(p *pb.Post) bool { return p.GetMessage().GetFlow().GetReplica() != "" })
}

// plainOnly tells whether a post is what one with sequels has to be.
func plainOnly(p *pb.Post) bool {
	m := p.GetMessage()
	bare := &pb.Message{Id: m.GetId(), Type: m.GetType(), From: m.GetFrom(), To: m.GetTo(), Body: m.GetBody()}
	return p.GetNumber() > 0 && bare.Id != "" && bare.Type != "" && bare.From != "" && bare.To != "" && proto.Equal(m, bare) &&
		proto.Equal(p, &pb.Post{Number: p.Number, Message: m})
}

// unrolledResponse is unrolled of a response.
func unrolledResponse(r *pb.AttachResponse) (*pb.AttachResponse, bool) {
	all := proto.CloneOf(r)
	all.Deliveries = nil
	for _, d := range r.Deliveries {
		one := proto.CloneOf(d)
		one.Sequels = nil
		all.Deliveries = append(all.Deliveries, one)
		for _, s := range d.Sequels {
			m, ok := follows(one.Message, s)
			if !ok || m.Flow != nil || m.Trace != nil || m.Resource != nil || HasUnknown(m) {
				return nil, false
			}
			m.Number++
			one = &pb.Delivery{Listener: d.Listener, Message: m}
			all.Deliveries = append(all.Deliveries, one)
		}
	}
	return all, true
}

// rowOf makes a post with so many sequels.
func rowOf(number uint64, sequels int) *pb.Post {
	p := plainPost(number, "b")
	for n := range sequels {
		p.Sequels = append(p.Sequels, &pb.Message{Id: fmt.Sprint(number + 1 + uint64(n)), Body: fmt.Appendf(nil, `{"n":%d}`, n)}) // not negative
	}
	return p
}

// Sequels make runs, like the posts that they are.
func TestSequelsMakeRuns(t *testing.T) {
	bare := rowOf(1, 3)
	bare.Sequels[1].Body = nil
	big := rowOf(1, 3)
	big.Sequels[0].Body = make([]byte, runBytes)
	for name, c := range map[string]struct {
		posts []*pb.Post
		want  string
	}{
		"a row":              {[]*pb.Post{rowOf(1, 5)}, "0+6"},
		"without a body":     {[]*pb.Post{bare}, "0+4"},
		"a large one":        {[]*pb.Post{big}, "0+2 0+2"},
		"a row behind posts": {[]*pb.Post{plainPost(1, "b"), plainPost(2, "b"), rowOf(3, 2), plainPost(6, "b")}, "0+6"},
		"rows":               {[]*pb.Post{rowOf(1, 5), rowOf(9, 5), plainPost(15, "c")}, "0+6 0+6 0+1"},
		"more than a run":    {[]*pb.Post{rowOf(1, 150), rowOf(152, 1)}, "0+64 0+64 0+25"},
	} {
		req := &pb.AttachRequest{Posts: c.posts}
		want, _ := unrolled(req)
		b, err := proto.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		m := Request{Room: 20}
		if err := takeInto(&m, b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var runs []string
		for i := range m.Runs {
			runs = append(runs, fmt.Sprint(m.Runs[i].Before, "+", m.Runs[i].Len()))
		}
		if got := strings.Join(runs, " "); got != c.want {
			t.Errorf("%s: runs are %q, want %q", name, got, c.want)
		}
		if got := opened(&m); !proto.Equal(got, want) {
			t.Errorf("%s: read %v\nwant %v", name, got, want)
		}
		goesOnInRuns(t, &m)
	}
}

// A post whose sequels are not as they may be ends the stream, and so does such a delivery.
func TestSequelsAreChecked(t *testing.T) {
	for name, changes := range map[string]func(p *pb.Post){
		"an outcome":        func(p *pb.Post) { p.Sequence = 3 },
		"a wait":            func(p *pb.Post) { p.Wait = pb.Wait_WAIT_RESPONSE },
		"no number":         func(p *pb.Post) { p.Number = 0 },
		"again":             func(p *pb.Post) { p.Again = true },
		"past all numbers":  func(p *pb.Post) { p.Number = math.MaxUint64 - 2 },
		"an ingress":        func(p *pb.Post) { p.Ingress = &pb.Ingress{} },
		"no message":        func(p *pb.Post) { p.Message = nil },
		"via":               func(p *pb.Post) { p.Message.Via = "x" },
		"no receiver":       func(p *pb.Post) { p.Message.To = "" },
		"no id":             func(p *pb.Post) { p.Sequels[1].Id = "" },
		"an empty one":      func(p *pb.Post) { p.Sequels[1] = &pb.Message{} },
		"another type":      func(p *pb.Post) { p.Sequels[1].Type = "other" },
		"a number":          func(p *pb.Post) { p.Sequels[1].Number = 3 },
		"something unknown": func(p *pb.Post) { p.Sequels[1].ProtoReflect().SetUnknown([]byte{0x98, 1, 1}) },
	} {
		p := rowOf(1, 3)
		changes(p)
		for _, req := range []*pb.AttachRequest{{Posts: []*pb.Post{p}}, {Posts: []*pb.Post{p}, Hello: &pb.Hello{}}} {
			b, err := proto.Marshal(req)
			if err != nil {
				t.Fatal(err)
			}
			for how, b := range map[string][]byte{"": b, " (odd)": append(b[:len(b):len(b)], 0x9a, 0x00, 0x00)} {
				var m Request
				if err := takeInto(&m, b); !errors.Is(err, errSequels) {
					t.Errorf("%s%s: %v", name, how, err)
				}
			}
		}
	}
	for name, changes := range map[string]func(d *pb.Delivery){
		"no message":   func(d *pb.Delivery) { d.Message = nil },
		"a trace":      func(d *pb.Delivery) { d.Message.Trace = &pb.Trace{} },
		"an empty one": func(d *pb.Delivery) { d.Sequels[1] = &pb.Message{} },
		"no id":        func(d *pb.Delivery) { d.Sequels[1].Id = "" },
		"another type": func(d *pb.Delivery) { d.Sequels[1].Type = "other" },
		"a number":     func(d *pb.Delivery) { d.Sequels[1].Number = 3 },
	} {
		row := rowOf(1, 3)
		d := &pb.Delivery{Listener: "l", Message: row.Message, Sequels: row.Sequels}
		changes(d)
		b, err := proto.Marshal(&pb.AttachResponse{Deliveries: []*pb.Delivery{d}})
		if err != nil {
			t.Fatal(err)
		}
		for how, b := range map[string][]byte{"": b, " (odd)": append(b[:len(b):len(b)], 0x9a, 0x00, 0x00)} {
			for _, whole := range []bool{false, true} {
				m := Received{Whole: whole}
				if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &m); err == nil {
					t.Errorf("%s%s: was read", name, how)
				}
			}
		}
	}
}

// Few bytes may stand for a long heading each: what they leave out is bounded.
func TestRowsAreBounded(t *testing.T) {
	for heading, fits := range map[int]bool{1 << 10: true, 200 << 10: false} {
		p := rowOf(1, 63)
		p.Message.From = strings.Repeat("a", heading)
		b, err := proto.Marshal(&pb.AttachRequest{Posts: []*pb.Post{p}})
		if err != nil {
			t.Fatal(err)
		}
		var m Request
		switch err := m.unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}); {
		case fits && err != nil:
			t.Errorf("%d: %v", heading, err)
		case !fits && !errors.Is(err, errSequels):
			t.Errorf("%d: %v", heading, err)
		}
	}
}

// The message of a sequel that was opened is its own, however long it is, and whatever
// memory its frame has.
func TestOpenedSequelsAreTheirOwn(t *testing.T) {
	const room = 29
	for size := 600; size < 20<<10; size++ {
		body := `"` + strings.Repeat("a", size) + `"`
		p := &pb.Post{Number: 1, Message: &pb.Message{Id: "1", Type: "t", From: "f", To: "o", Body: []byte("1")}}
		p.Sequels = []*pb.Message{{Id: "2", Body: []byte(body)}, {Id: "3", Body: []byte(body[:size/2])}}
		b, err := proto.Marshal(&pb.AttachRequest{Posts: []*pb.Post{p}})
		if err != nil {
			t.Fatal(err)
		}
		m := Request{Room: room}
		if err := m.unmarshal(mem.BufferSlice{mem.SliceBuffer(b[:100]), mem.SliceBuffer(b[100:])}); err != nil {
			t.Fatal(err)
		}
		var second []byte
		for i := range m.Runs {
			for j := range m.Runs[i].Len() {
				if one, encoded := m.Open(&m.Runs[i], j); one.Message.Id == "2" {
					second = encoded
				}
			}
		}
		var got pb.Message
		if err := proto.Unmarshal(second, &got); err != nil || got.Id != "2" || string(got.Body) != body || cap(second)-len(second) != room {
			t.Fatalf("%d bytes: %v, id %q, room for %d", size, err, got.Id, cap(second)-len(second))
		}
	}
}

// A sequel whose texts are not UTF-8 is refused like any other message.
func TestTextsOfSequelsAreChecked(t *testing.T) {
	row := rowOf(1, 3)
	row.Sequels[1].Id = "id-1"
	for _, v := range []proto.Message{
		&pb.AttachRequest{Posts: []*pb.Post{row}},
		&pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: "l", Message: row.Message, Sequels: row.Sequels}}},
	} {
		b, err := proto.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		data := mem.BufferSlice{mem.SliceBuffer(strings.Replace(string(b), "id-1", "\xffd-1", 1))}
		var read any = &Request{}
		if _, ok := v.(*pb.AttachResponse); ok {
			read = &Received{}
		}
		if err := (GRPC{}).Unmarshal(data, read); err == nil {
			t.Errorf("%T was read", v)
		}
	}
}

// What is made of a run is what package proto makes, whichever of its messages is the first,
// and is as long as it is said to be.
func TestHeading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := plainPost(rapid.Uint64Range(1, 1<<62).Draw(t, "number"), "b")
		for n := range rapid.IntRange(0, 20).Draw(t, "sequels") {
			p.Sequels = append(p.Sequels, &pb.Message{Id: fmt.Sprint("id", n), Body: make([]byte, rapid.IntRange(0, 200).Draw(t, "body"))})
		}
		b, err := proto.Marshal(&pb.AttachRequest{Posts: []*pb.Post{p}})
		if err != nil {
			t.Fatal(err)
		}
		var m Request
		if err := takeInto(&m, b); err != nil {
			t.Fatal(err)
		}
		origin := rapid.SampledFrom([]string{"", "origin"}).Draw(t, "origin")
		checksRow(t, &m, &m.Runs[0], []byte(origin))
	})
}

// checksRow checks what is made of a run.
func checksRow(t interface{ Fatalf(string, ...any) }, m *Request, run *Run, origin []byte) {
	var row []byte
	var ends []int
	memory := make([]byte, 0, run.HeadingSize(origin))
	used, h := run.AppendHeading(memory, origin)
	if len(used) != cap(memory) {
		t.Fatalf("the heading has %d bytes, and not %d", len(used), cap(memory))
	}
	posts := m.Plain(run)
	for i := range posts {
		row = AppendSequels(row, posts[i:i+1])
		ends = append(ends, len(row))
	}
	if together := AppendSequels(nil, posts); string(together) != string(row) {
		t.Fatalf("together %x, one by one %x", together, row)
	}
	for i, begin := 0, 0; i < len(posts); i++ {
		number := run.First + uint64(i) // not negative
		var want pb.Message
		if err := proto.Unmarshal(run.AppendMessage(nil, &posts[i]), &want); err != nil {
			t.Fatalf("%v", err)
		}
		if run.In != nil {
			want.Flow = nil
		}
		if want.Number = number; len(origin) > 0 {
			want.Origin = origin
		}
		if n, own := posts[i].SequelSize(); n != ends[i]-begin || own+len(used)+sizeNumber(number) != Size(&want) {
			t.Fatalf("message %d is said to have %d bytes as a sequel, and has %d; or %d of a whole one with %d", i, n, ends[i]-begin, own, Size(&want))
		}
		if size := h.Size(&posts[i], number); size != Size(&want) {
			t.Fatalf("message %d is said to have %d bytes, and has %d", i, size, Size(&want))
		}
		frame := h.AppendDelivery(nil, "l", row[begin:ends[i]], number, len(row)-ends[i])
		if most := ends[i] - begin + h.FrontSize("l"); len(frame) > most {
			t.Fatalf("a delivery has %d bytes in front, and not %d at most", len(frame), most)
		}
		d := &pb.Delivery{Listener: "l", Message: &want}
		single, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.AttachResponse{Deliveries: []*pb.Delivery{d}})
		if got := h.AppendWhole(nil, "l", &posts[i], number); err != nil || string(got) != string(single) || len(got) > h.FrontSize("l")+len(posts[i].ID)+len(posts[i].Body) {
			t.Fatalf("%v: delivered %x, want %x", err, got, single)
		}
		for j := i + 1; j < len(posts); j++ {
			d.Sequels = append(d.Sequels, &pb.Message{Id: string(posts[j].ID), Body: posts[j].Body})
		}
		delivered, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.AttachResponse{Deliveries: []*pb.Delivery{d}})
		if got := append(frame, row[ends[i]:]...); err != nil || string(got) != string(delivered) {
			t.Fatalf("%v: delivered %x, want %x", err, got, delivered)
		}
		begin = ends[i]
	}
}

// A row is delivered as the messages that it is of, in lots and without, lent and kept, whatever
// comes between. Frames of other encoders are refused, or read alike.
func TestDeliveredRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lends := rapid.Bool().Draw(t, "lends")
		got, opener := Received{Lends: func(string) bool { return lends }}, Opener{Lends: lends}
		for range rapid.IntRange(1, 3).Draw(t, "frames") {
			resp := anyRows(t)
			want, ok := unrolledResponse(resp)
			b, err := proto.Marshal(resp)
			if err != nil {
				t.Fatal(err)
			}
			parts := mem.BufferSlice{mem.NewBuffer(&b, &overwrites{})}
			if rapid.Bool().Draw(t, "in parts") {
				parts = inFrames(b)
			}
			err = GRPC{}.Unmarshal(parts, &got)
			parts.Free()
			if (err == nil) != ok {
				t.Fatalf("%v, want %v", err, ok)
			}
			if err != nil {
				return
			}
			comparesDeliveries(t, &got, &opener, want.Deliveries)
		}
	})
}

// comparesDeliveries compares what was received with what should have been.
func comparesDeliveries(t *rapid.T, got *Received, opener *Opener, want []*pb.Delivery) {
	at, all := 0, got.Deliveries
	one := func(listener string, m *pb.Message, size int) {
		d := want[at]
		at++
		if listener != d.Listener || !proto.Equal(m, d.Message) || size != proto.Size(d.Message) {
			t.Fatalf("read %s, %d bytes: %v\nwant %v", listener, size, m, d)
		}
	}
	for _, g := range got.Groups {
		for i := range g.Length {
			if g.Lot != nil {
				one(g.Listener, opener.Message(g.Lot, i), g.Lot.Size(i))
			} else {
				one(g.Listener, all[i].Message(), all[i].Size)
			}
		}
		if g.Lot != nil {
			g.Lot.Free()
		} else {
			all = all[g.Length:]
		}
	}
	if at != len(want) {
		t.Fatalf("%d messages, want %d", at, len(want))
	}
}

// anyRows draws a frame of deliveries, with sequels and without.
func anyRows(t *rapid.T) *pb.AttachResponse {
	resp := &pb.AttachResponse{}
	number := rapid.Uint64Range(0, 1<<40).Draw(t, "number")
	body := rapid.SampledFrom([]int{0, 60, 300}).Draw(t, "body")
	for range rapid.IntRange(1, 8).Draw(t, "deliveries") {
		d := &pb.Delivery{Listener: rapid.SampledFrom([]string{"listener", "listener", "other"}).Draw(t, "listener"), Message: &pb.Message{
			Id: "1", Type: "event", From: "a", To: rapid.SampledFrom([]string{"b", "b", "c"}).Draw(t, "to"), Origin: []byte("o"), Number: number,
			Body: make([]byte, body),
		}}
		number++
		switch rapid.IntRange(0, 20).Draw(t, "more") {
		case 0:
			d.Message.Via = "via"
		case 1:
			d.Message.Trace = &pb.Trace{}
		case 2:
			d.Message.Origin = nil
		case 3:
			d.From = &pb.FromQueue{}
		}
		for n := range rapid.SampledFrom([]int{0, 0, 1, 2, 20, 200}).Draw(t, "sequels") {
			d.Sequels = append(d.Sequels, &pb.Message{Id: fmt.Sprint(n), Body: make([]byte, body)})
			number++
		}
		resp.Deliveries = append(resp.Deliveries, d)
	}
	return resp
}

// A row that fills a frame is a lot, also for who keeps messages, and not memory of its own as
// one long message is.
func TestALongRowIsALot(t *testing.T) {
	row := rowOf(1, 1200)
	row.Message.Origin, row.Message.Number = []byte("o"), 1
	b, err := proto.Marshal(&pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: "l", Message: row.Message, Sequels: row.Sequels}}})
	if err != nil || len(b) < keptFrom {
		t.Fatal(err, len(b))
	}
	var m Received
	if err := (GRPC{}).Unmarshal(inFrames(b), &m); err != nil {
		t.Fatal(err)
	}
	for _, g := range m.Groups {
		if g.Lot == nil {
			t.Errorf("%d messages are in no lot", g.Length)
		}
	}
}

// However a row is encoded, it is refused or read as package proto reads it.
func FuzzRows(f *testing.F) {
	for _, p := range []*pb.Post{rowOf(1, 3), rowOf(1, 70)} {
		b, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
		d, err := proto.Marshal(&pb.Delivery{Listener: "l", Message: p.Message, Sequels: p.Sequels})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(d, true)
	}
	row := flowRow(10, 100, 70)
	row.Message.Via = "v"
	b, err := proto.Marshal(&pb.Post{Message: row.Message, Ingress: &pb.Ingress{RemoteRuntimeUrl: "r"}, Sequels: row.Sequels})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, false)
	f.Fuzz(func(t *testing.T, data []byte, delivery bool) {
		b := protowire.AppendBytes([]byte{tag(3, bytes)}, data)
		if delivery {
			fuzzDelivery(t, b)
			return
		}
		var req pb.AttachRequest
		m := Request{Room: 20}
		wrong, err := proto.Unmarshal(b, &req), takeInto(&m, b)
		want, ok := unrolled(&req)
		if err == nil && (wrong != nil || !ok || !proto.Equal(opened(&m), want)) {
			t.Fatalf("read %v\nwant %v, %v", opened(&m), want, wrong)
		}
		if usual, _ := proto.Marshal(&req); err != nil && wrong == nil && ok && string(usual) == string(b) && !saysReplica(&req) {
			t.Fatalf("%v of %v", err, &req)
		}
		if err == nil {
			goesOnInRuns(t, &m)
		}
	})
}

func fuzzDelivery(t *testing.T, b []byte) {
	var resp pb.AttachResponse
	var m Received
	wrong, err := proto.Unmarshal(b, &resp), GRPC{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &m)
	if slices.ContainsFunc(resp.Deliveries, func(d *pb.Delivery) bool { return len(d.ProtoReflect().GetUnknown()) > 0 }) {
		return // what a later version says beside sequels may be refused
	}
	want, ok := unrolledResponse(&resp)
	if err == nil && (wrong != nil || !ok || !proto.Equal(asResponse(&m), knownOf(want))) {
		t.Fatalf("read %v\nwant %v, %v", asResponse(&m), want, wrong)
	}
	if usual, _ := proto.Marshal(&resp); err != nil && wrong == nil && ok && string(usual) == string(b) {
		t.Fatalf("%v of %v", err, &resp)
	}
}
