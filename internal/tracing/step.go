package tracing

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// Step is what a service does with a message: the name of its span, and the event of
// its hop.
type Step struct {
	Name  string
	Event string // of the hop
	Kind  trace.SpanKind
	// Type is the operation's type in the semantic conventions for messaging; empty where
	// they have none.
	Type string
	// Begins: where the message is in no trace, it is the first span of one.
	Begins bool
}

// The steps of a message, in their order.
var (
	// Begin is Post of an application.
	Begin = Step{Name: "post", Event: message.HopPosted, Kind: trace.SpanKindProducer, Type: "create", Begins: true}
	// Post lasts until the message is settled; of a request, until it is answered.
	Post = Step{Name: "post", Event: message.HopPosted, Kind: trace.SpanKindInternal}
	// Send lasts until the other side's transport has the message.
	Send = Step{Name: "send", Event: message.HopSent, Kind: trace.SpanKindProducer, Type: "send"}
	// Relay lasts until the message is in the queues of its receivers.
	Relay = Step{Name: "relay", Event: message.HopRelayed, Kind: trace.SpanKindInternal}
	// Receive lasts until the bus takes the message.
	Receive = Step{Name: "receive", Event: message.HopReceived, Kind: trace.SpanKindConsumer, Type: "receive"}
	// Deliver lasts until the listener has dealt with the message.
	Deliver = Step{Name: "deliver", Event: message.HopDelivered, Kind: trace.SpanKindConsumer, Type: "process"}
	// Refuse is the end of a message's way where no other span says so.
	Refuse = Step{Name: "refuse", Event: message.HopRefused, Kind: trace.SpanKindInternal}
)

// Paths of a message, the values of peerbus.path.
const (
	pathDirect = "direct"
	pathRelay  = "relay"
	pathLocal  = "local"
)

// Attributes of ours.
const (
	keyPath    = attribute.Key("peerbus.path")
	keyFrom    = attribute.Key("peerbus.message.from")
	keyType    = attribute.Key("peerbus.message.type")
	keyRuntime = attribute.Key("peerbus.at")
)

// attributes of a span. Addresses are many, so none is in its name.
func attributes(service string, s Step, m *pb.Message) []attribute.KeyValue {
	all := append(make([]attribute.KeyValue, 0, 9),
		semconv.MessagingSystemKey.String("peerbus"),
		semconv.MessagingOperationName(s.Name),
		semconv.MessagingDestinationName(m.To),
		semconv.MessagingMessageID(m.Id),
		semconv.MessagingMessageBodySize(len(m.Body)+len(m.GetResource().GetContent())),
		keyFrom.String(m.From),
		keyType.String(m.Type),
	)
	if s.Type != "" {
		all = append(all, semconv.MessagingOperationTypeKey.String(s.Type))
	}
	if path := pathOf(service, s, m.Via); path != "" {
		all = append(all, keyPath.String(path))
	}
	return all
}

// pathOf tells which way a message takes: a stub knows, and to a bus the message says
// by which stub it came. Empty where that is not known yet.
func pathOf(service string, s Step, via string) string {
	switch {
	case service == "p2pstub":
		return pathDirect
	case service == "nodestub" || service == "msgnode" || strings.Contains(via, "/protostub/"):
		return pathRelay
	case via != "":
		return pathDirect
	case s.Event == message.HopDelivered:
		return pathLocal
	}
	return ""
}
