package gateway

import (
	"net/http"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// trace hands the trace of a request on to its message (W3C Trace Context). Headers
// that are not as they should be are passed over, as the recommendation has it. What
// the message says itself goes first.
func trace(m *pb.Message, h http.Header) {
	if m.GetTrace().GetTraceparent() != "" {
		return
	}
	t := message.TraceOf(h.Get("Traceparent"), h.Get("Tracestate"))
	if t == nil {
		return
	}
	t.Record, t.Hops = m.GetTrace().GetRecord(), m.GetTrace().GetHops()
	m.Trace = t
}
