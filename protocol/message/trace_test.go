package message_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func tracedMessage() *pb.Message {
	return &pb.Message{
		Id: "1", Type: "ping", From: "a", To: "b", Body: []byte(`{"x":1}`),
		Trace: &pb.Trace{
			Traceparent: parent, Tracestate: "k=v", Record: true,
			Hops: []*pb.Hop{{Service: "bus", At: "hyperty-runtime://a.example/1", Event: message.HopPosted, Time: 1790000000000000001}},
		},
	}
}

func TestTraceInJSON(t *testing.T) {
	m := tracedMessage()
	out, err := message.JSON(m)
	want := `{"id":1,"type":"ping","from":"a","to":"b","body":{"x":1},"trace":{"traceparent":"` + parent + `","tracestate":"k=v",` +
		`"record":true,"hops":[{"service":"bus","at":"hyperty-runtime://a.example/1","event":"posted","time":"1790000000000000001"}]}}`
	if err != nil || string(out) != want {
		t.Fatalf("%s, %v, want\n%s", out, err, want)
	}
	back, err := message.ParseJSON(out)
	if err != nil || !proto.Equal(back, m) {
		t.Errorf("%v came back as %v, %v", m, back, err)
	}
	if message.TraceID(m) != "0af7651916cd43dd8448eb211c80319c" || message.TraceID(&pb.Message{}) != "" {
		t.Errorf("%q", message.TraceID(m))
	}
}

// What leaves to peers that know no flows has its trace still: they pass it over.
func TestTraceStaysWithoutFlow(t *testing.T) {
	m := tracedMessage()
	m.Flow, m.Via, m.Number, m.Origin = &pb.Flow{Runtime: "r"}, "s", 1, []byte{1}
	for _, out := range []*pb.Message{message.WithoutFlow(m), message.Outward(m), message.Share(m)} {
		if !proto.Equal(out.Trace, m.Trace) {
			t.Errorf("%v", out)
		}
	}
}

// A field `trace` of someone else means nothing here, and is no error.
func TestTraceOfAnotherShape(t *testing.T) {
	for _, trace := range []string{
		`"x"`, `7`, `{}`, `{"traceparent":7}`, `{"hops":"x"}`, `[1]`, `null`, `{"traceparent":"00-1-2-3"}`,
		`{"tracestate":"k=v"}`, `{"hops":[{"time":"soon"}]}`, `{"hops":[{"service":"` + strings.Repeat("x", 33) + `"}]}`,
	} {
		m, err := message.ParseJSON([]byte(`{"id":1,"type":"t","from":"a","to":"b","trace":` + trace + `}`))
		if err != nil || m.Trace != nil {
			t.Errorf("%s: %v, %v", trace, m.GetTrace(), err)
		}
	}
}

func TestTraceIsBounded(t *testing.T) {
	hop := `{"service":"bus","at":"r","event":"posted","time":7}`
	many := strings.TrimSuffix(strings.Repeat(hop+",", message.MaxHops+1), ",")
	long := strings.Repeat("x", message.MaxTracestate+1)
	m, err := message.ParseJSON([]byte(fmt.Sprintf(
		`{"id":1,"type":"t","from":"a","to":"b","trace":{"traceparent":%q,"tracestate":%q,"hops":[%s]}}`, parent, long, many)))
	if err != nil || m.Trace.Traceparent != parent || m.Trace.Tracestate != "" || len(m.Trace.Hops) != message.MaxHops || m.Trace.Hops[0].Time != 7 {
		t.Errorf("%v, %v", m, err)
	}
	for field, change := range map[string]func(*pb.Trace){
		"trace.traceparent": func(t *pb.Trace) { t.Traceparent = strings.ToUpper(parent) },
		"trace.tracestate":  func(t *pb.Trace) { t.Tracestate = long },
		"trace.hops":        func(t *pb.Trace) { t.Hops = make([]*pb.Hop, message.MaxHops+1) },
	} {
		m := tracedMessage()
		change(m.Trace)
		if f := fault.From(message.Validate(m)); f == nil || f.Code != fault.BadRequest || f.Field != field {
			t.Errorf("%s: %v", field, f)
		}
	}
	m = tracedMessage()
	m.Trace.Hops[0].At = strings.Repeat("x", 2049)
	if f := fault.From(message.Validate(m)); f == nil || f.Field != "trace.hops" {
		t.Errorf("a long hop: %v", f)
	}
}

func TestTraceparents(t *testing.T) {
	for text, valid := range map[string]bool{
		parent: true,
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00":   true, // of a later version
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":   false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01":   false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01":   false,
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01":   false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x": false,
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":   false,
		"": false,
	} {
		if got := message.TraceOf(text, "") != nil; got != valid {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// A response is in the trace of its request, and gathers the way back.
func TestAnswerIsInTheTrace(t *testing.T) {
	m := tracedMessage()
	for _, answer := range []*pb.Message{message.Answer(m, fault.OK, nil), message.Refuse(m, fault.New(fault.NotFound, "none"))} {
		if !proto.Equal(answer.Trace, m.Trace) {
			t.Errorf("%v", answer)
		}
		answer.Trace.Hops = append(answer.Trace.Hops, &pb.Hop{})
		if len(m.Trace.Hops) != 1 {
			t.Error("the request has changed")
		}
	}
	m.Trace.Record = false
	if answer := message.Answer(m, fault.OK, nil); answer.Trace.Traceparent != parent || len(answer.Trace.Hops) != 0 {
		t.Errorf("%v", answer)
	}
	if answer := message.Answer(flowMessage(), fault.OK, nil); answer.Trace != nil {
		t.Errorf("%v", answer)
	}
}

// A response is as large without its trace as it may be: then it has none.
func TestATraceMakesNothingTooLarge(t *testing.T) {
	m := tracedMessage()
	for range message.MaxHops - 1 {
		m.Trace.Hops = append(m.Trace.Hops, m.Trace.Hops[0])
	}
	for spare, traced := range map[int]bool{100: false, 16 << 10: true} {
		answer := message.Answer(m, fault.OK, map[string]string{"value": strings.Repeat("x", message.MaxSize-spare)})
		if err := message.Validate(answer); err != nil || (answer.Trace != nil) != traced {
			t.Errorf("%d bytes to spare: %v, traced %v", spare, err, answer.Trace != nil)
		}
		plain := &pb.Message{Body: make([]byte, message.MaxSize-spare)}
		if out := message.WithTrace(plain, m.Trace); proto.Size(out) > message.MaxSize || (out != plain) != traced || plain.Trace != nil {
			t.Errorf("%d bytes to spare: %d bytes, traced %v", spare, proto.Size(out), out != plain)
		}
	}
}

// A long list costs no more than its text: a client of a Message Node could have many
// times that taken otherwise.
func TestALongListIsNotReadToItsEnd(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("{},", 100_000), ",")
	for name, field := range map[string]string{
		"hops": `"trace":{"record":true,"hops":[` + many + `]}`,
		"acks": `"flow":{"runtime":"r","acks":[` + many + `]}`,
	} {
		frame := []byte(`{"id":1,"type":"t","from":"a","to":"b",` + field + `}`)
		m, err := message.ParseJSON(frame)
		if hops := m.GetTrace().GetHops(); name == "hops" && (err != nil || len(hops) != message.MaxHops) {
			t.Errorf("%d hops, %v", len(hops), err)
		}
		if name == "acks" && fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("acks: %v", err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = message.ParseJSON(frame)
		runtime.ReadMemStats(&after)
		got := after.TotalAlloc - before.TotalAlloc
		if most := uint64(6 * len(frame)); got > most {
			t.Errorf("%s: %d bytes are taken for %d", name, got, len(frame))
		}
	}
}
