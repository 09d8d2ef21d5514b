package gateway

import (
	"net/http"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// trace hands the trace of a request on to its message (W3C Trace Context).
func trace(m *pb.Message, h http.Header) {
	if parent := h.Get("Traceparent"); parent != "" {
		m.Trace = &pb.Trace{Traceparent: parent, Tracestate: h.Get("Tracestate")}
	}
}
