package message

import (
	"unicode/utf8"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// CheckText refuses a message with a text that is not UTF-8: protobuf cannot encode that,
// and trying would end the stream that it is written to.
func CheckText(m *pb.Message) error {
	if utf8.ValidString(m.Id) && utf8.ValidString(m.Type) && utf8.ValidString(m.From) && utf8.ValidString(m.To) &&
		m.Via == "" && m.Source == "" && m.P2PHandler == "" && m.P2PRequester == "" && m.Resource == nil && m.Trace == nil {
		return nil // most are like this
	}
	for _, f := range []struct{ name, value string }{
		{"id", m.GetId()}, {"type", m.GetType()}, {"from", m.GetFrom()}, {"to", m.GetTo()},
		{"via", m.GetVia()}, {"source", m.GetSource()}, {"p2pHandler", m.GetP2PHandler()}, {"p2pRequester", m.GetP2PRequester()},
		{"mime_type", m.GetResource().GetMimeType()},
		{"traceparent", m.GetTrace().GetTraceparent()}, {"tracestate", m.GetTrace().GetTracestate()},
	} {
		if err := CheckUTF8(f.name, f.value); err != nil {
			return err
		}
	}
	return nil
}

// CheckUTF8 refuses the text of a field that is not UTF-8.
func CheckUTF8(field, text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	return fault.New(fault.BadRequest, "%s is not UTF-8", field).In(field)
}
