package framing_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/message"
)

var both = []string{framing.PeerBus, framing.Rethink}

func options() framing.Options {
	n := 0
	return framing.Options{
		Now:  func() time.Time { return time.Unix(0, 0) },
		UUID: func() string { n++; return fmt.Sprintf("uuid%08d", n) },
	}
}

func msg(id int, to string, size int) *pb.Message {
	body := fmt.Sprintf(`{"value":{"text":"%s"}}`, strings.Repeat("x", size))
	return &pb.Message{Id: fmt.Sprint(id), Type: "create", From: "hyperty://a/1", To: to, Body: []byte(body)}
}

func binaryMsg(id int, size int) *pb.Message {
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i * 7)
	}
	m := msg(id, "hyperty://b/1", 1)
	m.Resource = &pb.Resource{Content: content, MimeType: "image/png"}
	return m
}

// packets takes out all that an encoder has.
func packets(e framing.Encoder) []framing.Packet {
	var out []framing.Packet
	for {
		p, ok := e.Next()
		if !ok {
			return out
		}
		out = append(out, framing.Packet{Text: p.Text, Data: bytes.Clone(p.Data)})
	}
}

func decode(t *testing.T, d framing.Decoder, ps []framing.Packet) []*pb.Message {
	t.Helper()
	var out []*pb.Message
	for _, p := range ps {
		r, err := d.Decode(p)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, c := range r.Messages {
			out = append(out, c.Message())
		}
	}
	return out
}

func TestWhatGoesInComesOut(t *testing.T) {
	for _, name := range both {
		t.Run(name, func(t *testing.T) {
			e, d := framing.New(name, options())
			in := []*pb.Message{
				msg(1, "hyperty://b/1", 10), msg(2, "hyperty://b/2", 40_000), binaryMsg(3, 100_000),
				binaryMsg(4, 1), msg(5, "hyperty://b/2", 10), msg(6, "hyperty://b/1", 16_300),
			}
			for _, m := range in {
				if err := e.Add(m); err != nil {
					t.Fatal(err)
				}
			}
			ps := packets(e)
			for i, p := range ps {
				if !p.Text && len(p.Data) > framing.DefaultLimits().Packet+framing.Headroom {
					t.Errorf("packet %d has %d bytes", i, len(p.Data))
				}
			}
			out := map[string]*pb.Message{}
			for _, m := range decode(t, d, ps) {
				out[m.Id] = m
			}
			for _, m := range in {
				got := out[m.Id]
				if got == nil || got.GetTo() != m.To || !bytes.Equal(got.GetResource().GetContent(), m.GetResource().GetContent()) {
					t.Errorf("message %s did not come out as it went in", m.Id)
				}
			}
			if len(out) != len(in) || e.Pending() != 0 {
				t.Errorf("%d messages, %d bytes pending", len(out), e.Pending())
			}
		})
	}
}

// The trace of a message goes over both framings, beside content too.
func TestTraceGoesAlong(t *testing.T) {
	for _, name := range both {
		e, d := framing.New(name, options())
		trace := &pb.Trace{
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Tracestate: "k=v", Record: true,
			Hops: []*pb.Hop{{Service: "bus", At: "hyperty-runtime://a/1", Event: "posted", Time: 1790000000000000001}},
		}
		for _, m := range []*pb.Message{msg(1, "hyperty://b/1", 10), binaryMsg(2, 100_000)} {
			m.Trace = trace
			if err := e.Add(m); err != nil {
				t.Fatal(err)
			}
		}
		got := decode(t, d, packets(e))
		if len(got) != 2 || !proto.Equal(got[0].Trace, trace) || !proto.Equal(got[1].Trace, trace) {
			t.Errorf("%s: %d messages, %v, %v", name, len(got), got[0].Trace, got[1].Trace)
		}
	}
}

// What just fits into a text packet does not become too large by its trace.
func TestTraceIsNoReasonToRefuse(t *testing.T) {
	e, d := framing.New(framing.Rethink, options())
	m := msg(1, "hyperty://b/1", framing.DefaultLimits().Text-500)
	m.Trace = &pb.Trace{Record: true, Tracestate: strings.Repeat("x", message.MaxTracestate)}
	if err := e.Add(m); err != nil {
		t.Fatal(err)
	}
	if got := decode(t, d, packets(e)); len(got) != 1 || got[0].Trace != nil || !bytes.Equal(got[0].Body, m.Body) {
		t.Errorf("%d messages", len(got))
	}
	if m.Trace == nil {
		t.Error("the message itself has changed")
	}
}

func TestSmallMessagesShareAPacket(t *testing.T) {
	e, _ := framing.New(framing.PeerBus, options())
	for i := range 100 {
		if err := e.Add(msg(i, "hyperty://b/1", 64)); err != nil {
			t.Fatal(err)
		}
	}
	if ps := packets(e); len(ps) != 1 {
		t.Errorf("%d packets", len(ps))
	}
}

func TestSmallOvertakesLongOfAnotherLane(t *testing.T) {
	e, d := framing.New(framing.PeerBus, options())
	for i, to := range []string{"long", "long", "other"} {
		if err := e.Add(msg(i, to, []int{100_000, 1, 1}[i])); err != nil {
			t.Fatal(err)
		}
	}
	var order []string
	for _, m := range decode(t, d, packets(e)) {
		order = append(order, m.Id)
	}
	if got := strings.Join(order, " "); got != "2 0 1" {
		t.Errorf("order %s", got)
	}
}

// Whatever is mixed, one lane keeps its order.
func TestOrderWithinALane(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 15 {
		e, d := framing.New(framing.PeerBus, options())
		next := map[string]int{}
		check := func(p framing.Packet) {
			got, err := d.Decode(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range got.Messages {
				m := c.Message()
				if m.Id != fmt.Sprint(next[m.To]) {
					t.Fatalf("round %d: %s has %s, want %d", round, m.To, m.Id, next[m.To])
				}
				next[m.To]++
			}
		}
		sent := map[string]int{}
		for range 200 {
			to := fmt.Sprint("lane", r.IntN(4))
			size := []int{10, 100, 5000, 17_000, 60_000}[r.IntN(5)]
			if err := e.Add(msg(sent[to], to, size)); err != nil {
				t.Fatal(err)
			}
			sent[to]++
			if p, ok := e.Next(); ok && r.IntN(2) == 0 {
				check(p)
			} else if ok {
				check(p)
				if p, ok := e.Next(); ok {
					check(p)
				}
			}
		}
		for _, p := range packets(e) {
			check(p)
		}
		for to, n := range sent {
			if next[to] != n {
				t.Fatalf("%s: %d of %d", to, next[to], n)
			}
		}
	}
}

func TestTooLarge(t *testing.T) {
	o := options()
	o.Limits = framing.Limits{Message: 100_000}
	for _, name := range both {
		e, _ := framing.New(name, o)
		if err := e.Add(binaryMsg(1, 100_001)); fault.CodeOf(err) != fault.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	e, _ := framing.New(framing.Rethink, o)
	if err := e.Add(msg(1, "b", 70_000)); fault.CodeOf(err) != fault.TooLarge || e.Pending() != 0 {
		t.Errorf("text: %v", err)
	}
}

func TestOlderPackets(t *testing.T) {
	e, _ := framing.New(framing.Rethink, options())
	if err := e.Add(msg(1, "b", 1)); err != nil {
		t.Fatal(err)
	}
	if err := e.Add(binaryMsg(2, 20_000)); err != nil {
		t.Fatal(err)
	}
	ps := packets(e)
	want := `{"uuid":"uuid00000001","data":{"uuid":"uuid00000001","sendingTime":0,"dataSize":0,"textMessage":{"id":1,"type":"create","from":"hyperty://a/1","to":"b","body":{"value":{"text":"x"}}}}}`
	if !ps[0].Text || string(ps[0].Data) != want {
		t.Errorf("%s", ps[0].Data)
	}
	if !strings.Contains(string(ps[1].Data), `"dataSize":20000,`) || !strings.Contains(string(ps[1].Data), `"mimetype":"image/png"`) || strings.Contains(string(ps[1].Data), "content") {
		t.Errorf("%s", ps[1].Data)
	}
	if len(ps) != 4 || len(ps[2].Data) != 16384 || string(ps[2].Data[:6]) != "u\x00u\x00i\x00" || ps[2].Text {
		t.Errorf("%d packets", len(ps))
	}
}

func text(s string) framing.Packet { return framing.Packet{Text: true, Data: []byte(s)} }

const opened = `{"uuid":"%s","data":{"dataSize":%d,"textMessage":{"id":"m","type":"create","from":"a","to":"b","body":{"value":{"mimetype":"%s"}}}}}`

func TestNamesOfOlderSenders(t *testing.T) {
	for units := 8; units <= 13; units++ {
		_, d := framing.New(framing.Rethink, options())
		uuid := "0123456789abcdef"[:units]
		if _, err := d.Decode(text(fmt.Sprintf(opened, uuid, 3, "image/png"))); err != nil {
			t.Fatal(err)
		}
		var data []byte
		for _, c := range uuid {
			data = append(data, byte(c), 0)
		}
		r, err := d.Decode(framing.Packet{Data: append(data, 1, 0, 2)})
		if err != nil || len(r.Messages) != 1 || string(r.Messages[0].Message().Resource.Content) != "\x01\x00\x02" || r.Messages[0].Message().Resource.MimeType != "image/png" {
			t.Errorf("%d units: %v, %v", units, r, err)
		}
	}
}

// A size is a number, however its sender writes it.
func TestSizesOfOtherSenders(t *testing.T) {
	for size, content := range map[string]string{"0.0": "", "0e0": "", "null": "", "3.0": "abc", "0.3e1": "abc"} {
		_, d := framing.New(framing.Rethink, options())
		r, err := d.Decode(text(strings.Replace(fmt.Sprintf(opened, "uuid1234", 7, "image/png"), "7", size, 1)))
		if err == nil && content != "" {
			r, err = d.Decode(framing.Packet{Data: append([]byte("u\x00u\x00i\x00d\x001\x002\x003\x004\x00"), content...)})
		}
		if err != nil || len(r.Messages) != 1 || string(r.Messages[0].Message().GetResource().GetContent()) != content {
			t.Errorf("%s: %v, %v", size, r, err)
		}
	}
	_, d := framing.New(framing.Rethink, options())
	if r, err := d.Decode(text(strings.Replace(fmt.Sprintf(opened, "uuid1234", 7, "image/png"), "7", "2.5", 1))); err == nil {
		t.Errorf("half a byte: %v", r)
	}
}

func TestSplitText(t *testing.T) {
	whole := strings.Repeat("é", 16384) + "ende🙂"
	for name, size := range map[string]int{"units": 16384 + 6, "bytes": len(whole)} {
		_, d := framing.New(framing.Rethink, options())
		if _, err := d.Decode(text(fmt.Sprintf(opened, "uuid12345678", size, "text/plain"))); err != nil {
			t.Fatal(err)
		}
		r, err := d.Decode(text(`{"uuid":"uuid12345678","data":"` + strings.Repeat("é", 16384) + `"}`))
		if err != nil || len(r.Messages) != 0 {
			t.Fatalf("%s: %v %v", name, r, err)
		}
		r, err = d.Decode(text(`{"uuid":"uuid12345678","data":"ende🙂"}`))
		if err != nil || len(r.Messages) != 1 || !strings.Contains(string(r.Messages[0].Message().Body), whole) {
			t.Errorf("%s: %d messages, %v", name, len(r.Messages), err)
		}
	}
}

// JavaScript cuts a text between the halves of a character without a thought.
func TestSplitTextWithinACharacter(t *testing.T) {
	_, d := framing.New(framing.Rethink, options())
	if _, err := d.Decode(text(fmt.Sprintf(opened, "uuid12345678", 16386, "text/plain"))); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decode(text(`{"uuid":"uuid12345678","data":"` + strings.Repeat("x", 16383) + `\ud83d"}`)); err != nil {
		t.Fatal(err)
	}
	r, err := d.Decode(text(`{"uuid":"uuid12345678","data":"\uDE42y"}`))
	if err != nil || len(r.Messages) != 1 || !strings.Contains(string(r.Messages[0].Message().Body), "x🙂y") {
		t.Errorf("%d messages, %v", len(r.Messages), err)
	}
}

func TestProgress(t *testing.T) {
	e, d := framing.New(framing.Rethink, options())
	if err := e.Add(binaryMsg(7, 100_000)); err != nil {
		t.Fatal(err)
	}
	var percents []string
	for _, p := range packets(e) {
		r, err := d.Decode(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Progress {
			m := p.Provisional()
			percents = append(percents, fmt.Sprintf("%s %s %s %s", m.Type, m.Id, m.To, m.Body))
		}
	}
	if len(percents) != 6 || percents[0] != `response 7 hyperty://b/1 {"code":183,"value":16}` {
		t.Errorf("%q", percents)
	}
}

func TestCancel(t *testing.T) {
	t.Run(framing.PeerBus, func(t *testing.T) {
		o := options()
		e, _ := framing.New(framing.PeerBus, o)
		o.Limits.Message = 50_000
		_, d := framing.New(framing.PeerBus, o)
		back, _ := framing.New(framing.PeerBus, o)
		if err := e.Add(msg(1, "b", 100_000)); err != nil {
			t.Fatal(err)
		}
		if err := e.Add(msg(2, "b", 1)); err != nil {
			t.Fatal(err)
		}
		p, _ := e.Next()
		r, err := d.Decode(p)
		if fault.CodeOf(err) != fault.TooLarge || len(r.GivenUp) != 1 {
			t.Fatalf("%v %v", r, err)
		}
		back.Tell(r.GivenUp[0])
		told, ok := back.Next()
		_, reader := framing.New(framing.PeerBus, o)
		r, err = reader.Decode(told)
		if !ok || err != nil || len(r.Cancelled) != 1 {
			t.Fatalf("%v %v", r, err)
		}
		late, _ := e.Next()
		if r, err := d.Decode(late); err != nil || len(r.GivenUp) != 0 {
			t.Errorf("what was under way: %v, %v", r, err)
		}
		e.Stop(r.Cancelled[0])
		if out := decode(t, d, packets(e)); len(out) != 1 || out[0].Id != "2" || e.Pending() != 0 {
			t.Errorf("%v, %d pending", out, e.Pending())
		}
	})
	t.Run(framing.Rethink, func(t *testing.T) {
		e, _ := framing.New(framing.Rethink, options())
		m := binaryMsg(1, 100_000)
		m.Id = `"a-1"`
		if err := e.Add(m); err != nil {
			t.Fatal(err)
		}
		e.Next()
		e.Next()
		if framing.CancelResource(m) != "hyperty://a/1hyperty://b/1a-1" {
			t.Error(framing.CancelResource(m))
		}
		back, reader := framing.New(framing.Rethink, options())
		if err := back.Add(framing.CancelMessage("stub b", "stub a", framing.Cancel{Resource: framing.CancelResource(m)})); err != nil {
			t.Fatal(err)
		}
		told, _ := back.Next()
		r, err := reader.Decode(told)
		if err != nil || len(r.Cancelled) != 1 {
			t.Fatalf("%v %v", r, err)
		}
		e.Stop(r.Cancelled[0])
		if p, ok := e.Next(); ok || e.Pending() != 0 {
			t.Errorf("%v", p)
		}
	})
}

func TestGarbageIsRefusedAndTheRestGoesOn(t *testing.T) {
	big := string(make([]byte, 70_000))
	garbage := map[string][]framing.Packet{
		framing.PeerBus: {
			text("{}"), {Data: []byte{0xff}}, {Data: frame(&pb.Fragment{})},
			{Data: frame(&pb.Fragment{Transfer: 9, Offset: 5, Size: 10, Data: []byte("x")})},
			{Data: frame(&pb.Fragment{Transfer: 9, Size: 1 << 60, Data: []byte("x")})},
			{Data: frame(&pb.Fragment{Transfer: 10, Size: 1, Data: []byte("xx")})},
			{Data: frame(&pb.Fragment{Transfer: 11, Size: 1, Data: []byte{0xff}})},
			{Data: frame(&pb.Fragment{Transfer: 11, Size: 1, Data: []byte{0xff}})},
		},
		framing.Rethink: {
			text(""), text("[]"), text("{}"), text(`{"uuid":"u"}`), text(`{"uuid":"u","data":3}`), text(`{"uuid":"u","data":{}}`),
			text(`{"uuid":"u","data":"x"}`), text(`{"uuid":"u","data":{"textMessage":{"id":1}}}`),
			text(fmt.Sprintf(opened, "uuid", -1, "x")), text(fmt.Sprintf(opened, "uuid", 1<<40, "x")),
			text("\xff"), {Data: nil}, {Data: []byte("x")}, {Data: []byte(big)},
		},
	}
	for name, ps := range garbage {
		t.Run(name, func(t *testing.T) {
			e, d := framing.New(name, options())
			for i, p := range ps {
				if r, err := d.Decode(p); err == nil || len(r.Messages) != 0 {
					t.Errorf("packet %d: %v, %v", i, r, err)
				}
			}
			if err := e.Add(msg(1, "b", 1)); err != nil {
				t.Fatal(err)
			}
			if out := decode(t, d, packets(e)); len(out) != 1 {
				t.Errorf("%d messages after garbage", len(out))
			}
		})
	}
}

func frame(f *pb.Fragment) []byte {
	b, err := proto.Marshal(&pb.Frame{Fragment: f})
	if err != nil {
		panic(err)
	}
	return b
}

// Transfers that are opened and never finished are given up, the stillest
// first, and what is complete still comes.
func TestTruncatedTransfersDoNotFillTheTable(t *testing.T) {
	o := options()
	o.Limits = framing.Limits{Transfers: 4, Reassembly: 100_000, Message: 50_000}
	t.Run(framing.PeerBus, func(t *testing.T) {
		_, d := framing.New(framing.PeerBus, o)
		givenUp := 0
		for n := range uint64(100) {
			r, err := d.Decode(framing.Packet{Data: frame(&pb.Fragment{Transfer: n + 1, Size: 40_000, Data: make([]byte, 30_000)})})
			if err != nil {
				t.Fatal(err)
			}
			givenUp += len(r.GivenUp)
		}
		if givenUp != 97 { // three of 30,000 bytes fit
			t.Errorf("%d given up", givenUp)
		}
		r, err := d.Decode(framing.Packet{Data: frame(&pb.Fragment{Transfer: 1, Offset: 30_000, Size: 40_000, Data: make([]byte, 10)})})
		if err != nil || len(r.GivenUp) != 0 {
			t.Errorf("the rest of one that is gone: %v, %v", r, err)
		}
	})
	t.Run(framing.Rethink, func(t *testing.T) {
		_, d := framing.New(framing.Rethink, o)
		givenUp := 0
		for n := range 100 {
			r, err := d.Decode(text(fmt.Sprintf(opened, fmt.Sprintf("uuid%08d", n), 40_000, "image/png")))
			if err != nil {
				t.Fatal(err)
			}
			givenUp += len(r.GivenUp)
		}
		if givenUp != 96 {
			t.Errorf("%d given up", givenUp)
		}
		if _, err := d.Decode(text(`{"uuid":"uuid00000095","data":"x"}`)); err != nil {
			t.Errorf("the rest of one that is gone: %v", err)
		}
	})
}

func TestDrain(t *testing.T) {
	for _, name := range both {
		e, _ := framing.New(name, options())
		for i, size := range []int{1, 40_000, 1} {
			if err := e.Add(msg(i, "b", size)); err != nil {
				t.Fatal(err)
			}
		}
		if out := e.Drain(); len(out) != 3 || e.Pending() != 0 {
			t.Errorf("%s: %d messages, %d bytes", name, len(out), e.Pending())
		}
		if _, ok := e.Next(); ok {
			t.Errorf("%s: a packet after Drain", name)
		}
	}
}

func TestTextContentStaysText(t *testing.T) {
	e, d := framing.New(framing.Rethink, options())
	m := msg(1, "b", 1)
	m.Resource = &pb.Resource{Content: []byte("grüße"), MimeType: "text/plain"}
	if err := e.Add(m); err != nil {
		t.Fatal(err)
	}
	out := decode(t, d, packets(e))
	if len(out) != 1 || out[0].Resource != nil || !strings.Contains(string(out[0].Body), `"content":"grüße"`) {
		t.Errorf("%v", out)
	}
}

func fuzz(f *testing.F, name string) {
	e, _ := framing.New(name, withSequels())
	for _, m := range append(inFlow(3), msg(1, "b", 5), binaryMsg(2, 20_000), msg(3, "b", 20_000)) {
		if err := e.Add(m); err != nil {
			f.Fatal(err)
		}
	}
	var all []byte
	for _, p := range packets(e) {
		f.Add(p.Text, p.Data)
		all = append(all, p.Data...)
	}
	f.Add(true, fmt.Appendf(nil, opened, "uuid12345678", 3, "image/png"))
	f.Add(false, all)
	f.Fuzz(func(t *testing.T, isText bool, data []byte) {
		o := options()
		o.Limits = framing.Limits{Transfers: 2, Message: 1 << 16, Reassembly: 1 << 17}
		_, d := framing.New(name, o)
		for range 3 { // again and again, cut differently
			_, _ = d.Decode(framing.Packet{Text: isText, Data: data})
			_, _ = d.Decode(framing.Packet{Text: !isText, Data: data})
			data = data[len(data)/2:]
		}
		e, _ := framing.New(name, o)
		if err := e.Add(msg(1, "b", 1)); err != nil {
			t.Fatal(err)
		}
		if r, err := d.Decode(packets(e)[0]); err != nil || len(r.Messages) != 1 {
			t.Fatalf("after garbage: %v, %v", r, err)
		}
	})
}

func FuzzPeerBus(f *testing.F) { fuzz(f, framing.PeerBus) }
func FuzzRethink(f *testing.F) { fuzz(f, framing.Rethink) }
