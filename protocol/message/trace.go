package message

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// Bounds of what stands in a message for its trace.
const (
	MaxHops       = 32  // more than any way there and back has; a full list takes no more
	MaxTracestate = 512 // bytes: as much as W3C Trace Context asks everybody to carry
	MaxHopName    = 32  // bytes of a hop's service, and of its event
)

// Events of a hop.
const (
	HopPosted    = "posted"    // at the bus, by an application or a stub
	HopSent      = "sent"      // by a stub to the other side
	HopRelayed   = "relayed"   // by a Message Node
	HopReceived  = "received"  // by a stub from the other side
	HopDelivered = "delivered" // by the bus to a listener that is no stub
	HopRefused   = "refused"   // the message goes no further; the answer says why
)

// traceparentLength is that of the W3C form, `00-<32 digits>-<16 digits>-<2 digits>`.
const traceparentLength = 55

// TraceOf makes the trace of a message out of W3C headers; nil when parent is not a valid
// one. A state that is too long is left out, as the recommendation says.
func TraceOf(parent, state string) *pb.Trace {
	if !isTraceparent(parent) {
		return nil
	}
	if len(state) > MaxTracestate {
		state = ""
	}
	return &pb.Trace{Traceparent: parent, Tracestate: state}
}

// TraceID is the id of the trace that a message is in, 32 hexadecimal digits; empty
// when it is in none.
func TraceID(m *pb.Message) string {
	parent := m.GetTrace().GetTraceparent()
	if !isTraceparent(parent) {
		return ""
	}
	return parent[3:35]
}

// isTraceparent takes the W3C form, of any version that can be read as the first one.
func isTraceparent(s string) bool {
	return len(s) == traceparentLength && s[2] == '-' && s[35] == '-' && s[52] == '-' && s[:2] != "ff" &&
		isHex(s[:2]) && isHex(s[3:35]) && isHex(s[36:52]) && isHex(s[53:]) &&
		strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// validateTrace bounds what comes from outside.
func validateTrace(t *pb.Trace) error {
	switch {
	case t == nil:
		return nil
	case t.Traceparent != "" && !isTraceparent(t.Traceparent):
		return fault.New(fault.BadRequest, "trace.traceparent %.80q is no W3C trace context", t.Traceparent).In("trace.traceparent")
	case len(t.Tracestate) > MaxTracestate:
		return fault.New(fault.BadRequest, "trace.tracestate is longer than %d bytes", MaxTracestate).In("trace.tracestate")
	case len(t.Hops) > MaxHops:
		return fault.New(fault.BadRequest, "trace.hops has more than %d hops", MaxHops).In("trace.hops")
	case slices.ContainsFunc(t.Hops, func(h *pb.Hop) bool { return !isHop(h) }):
		return fault.New(fault.BadRequest, "trace.hops has one that is too long").In("trace.hops")
	}
	return nil
}

func isHop(h *pb.Hop) bool {
	return len(h.GetService()) <= MaxHopName && len(h.GetEvent()) <= MaxHopName && len(h.GetAt()) <= address.MaxLength
}

// spare is what a message of the largest size must have left for its flow and for the
// next hop, in bytes.
const spare = 4 << 10

// fitsTrace tells whether a message may be given a trace, in place of the one that it has:
// the message is more important than its trace, which must not make it too large.
func fitsTrace(m *pb.Message, t *pb.Trace) bool {
	return proto.Size(m)-proto.Size(m.GetTrace())+proto.Size(t) <= MaxSize-spare
}

// WithTrace gives a copy of a message with another trace, or the message itself where that
// trace would make it too large. The copy shares the content.
func WithTrace(m *pb.Message, t *pb.Trace) *pb.Message {
	if !fitsTrace(m, t) {
		return m
	}
	out := Share(m)
	out.Trace = t
	return out
}

// answerTrace is what a response has of its request's trace: it is in the same one,
// and goes on with the hops where they are recorded. Of one that is not as it should
// be, nothing is repeated.
func answerTrace(req *pb.Message) *pb.Trace {
	t := req.GetTrace()
	if t == nil || validateTrace(t) != nil {
		return nil
	}
	answer := &pb.Trace{Traceparent: t.Traceparent, Tracestate: t.Tracestate, Record: t.Record}
	if t.Record {
		answer.Hops = slices.Clone(t.Hops)
	}
	return answer
}

// traceJSON is the field `trace`. A time may be beyond 2^53, so it is a string.
type traceJSON struct {
	Traceparent string        `json:"traceparent,omitempty"`
	Tracestate  string        `json:"tracestate,omitempty"`
	Record      bool          `json:"record,omitempty"`
	Hops        list[hopJSON] `json:"hops,omitempty"`
}

type hopJSON struct {
	Service string `json:"service"`
	At      string `json:"at"`
	Event   string `json:"event"`
	Time    number `json:"time"`
}

// appendTrace writes `,"trace":{…}`, or nothing.
func appendTrace(dst []byte, t *pb.Trace) ([]byte, error) {
	if t == nil {
		return dst, nil
	}
	j := traceJSON{Traceparent: t.Traceparent, Tracestate: t.Tracestate, Record: t.Record}
	for _, h := range t.Hops {
		at := number(max(h.GetTime(), 0)) // not below 0
		j.Hops = append(j.Hops, hopJSON{h.GetService(), h.GetAt(), h.GetEvent(), at})
	}
	b, err := json.Marshal(j)
	if err != nil {
		return dst, fault.New(fault.Internal, "trace: %w", err)
	}
	dst = append(dst, `,"trace":`...)
	return append(dst, b...), nil
}

// parseTrace reads the field `trace` into a message. Of another shape it is not ours,
// and says nothing; what of it is wrong or too long is left out.
func parseTrace(m *pb.Message, raw []byte) {
	var j traceJSON
	if json.Unmarshal(raw, &j) != nil {
		return
	}
	t := TraceOf(j.Traceparent, j.Tracestate)
	if t == nil {
		t = &pb.Trace{}
	}
	t.Record = j.Record
	for _, h := range j.Hops {
		hop := &pb.Hop{Service: h.Service, At: h.At, Event: h.Event, Time: int64(min(h.Time, math.MaxInt64))} // not above it
		if len(t.Hops) < MaxHops && isHop(hop) {
			t.Hops = append(t.Hops, hop)
		}
	}
	if t.Traceparent != "" || t.Record || len(t.Hops) > 0 {
		m.Trace = t
	}
}
