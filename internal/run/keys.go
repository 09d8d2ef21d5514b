package run

// Keys are those of the log (log/slog), in all services, and what each says. A line has
// service and, in a runtime, runtime; at a Message Node, domain. The same thing has the
// same key everywhere, so that logs of several processes can be searched as one; a test
// of internal/rules compares them with what the code writes.
var Keys = map[string]string{
	// On every line of a process.
	"service": "registry, bus, p2pstub, nodestub, gateway, msgnode, or the mode of the process",
	"runtime": "URL of the runtime; in a line of msgnode, of the one whose session it is about",
	"domain":  "domain of the Message Node",

	// What a line is about.
	"error":     "what went wrong",
	"reason":    "why something was decided",
	"trace_id":  "id of the trace that the message is in (W3C Trace Context), where it is in one",
	"component": "kind of the attached stream: application, registry, p2p_stub, node_stub, replica",
	"name":      "what a stream calls itself",
	"state":     "what something is now",
	"before":    "what it was",
	"now":       "what it is now, of a list",
	"event":     "what happened to it",
	"part":      "part of a service",
	"count":     "how many",
	"bytes":     "how many bytes",
	"want":      "how many there should be",

	// Times, in seconds as in the metrics.
	"took_seconds": "how long it took",
	"age_seconds":  "how old it is",

	// Of a message.
	"type": "its type; of a description of WebRTC, offer or answer",
	"from": "address of the sender",
	"to":   "address of the receiver",

	// Addresses, in the sense of peerbus.
	"address":   "the address that it is about",
	"leads_to":  "the address that another one leads to",
	"listener":  "the address under which a message is delivered",
	"next":      "the listener that a route leads to",
	"remote":    "URL of the runtime at the other side",
	"stub":      "address of a stub",
	"source":    "who subscribes",
	"object":    "address of a Connection object",
	"entries":   "entries of a store",
	"replica":   "another replica of the Message Node, or of the bus",
	"member":    "key of a replica of a runtime's service, in the bucket of its members",
	"kind":      "kind of service that has members: bus, registry, p2pstub",
	"transport": "websocket or grpc",

	// Of a connection.
	"role":       "reporter or observer, requester or handler",
	"path":       "direct or relay",
	"phase":      "part of a set-up",
	"framing":    "framing of a data channel",
	"fast":       "the invitation carries the description",
	"generation": "of ICE",
	"records":    "DTLS records that were sent",

	// Of the process.
	"addr":     "HOST:PORT that it listens on, or at which a replica is reached; several have commas between them",
	"abstract": "abstract unix sockets that it listens on besides",
	"endpoint": "where it connects to",
	"server":   "of NATS, likewise",
	"subject":  "of NATS",
	"bucket":   "of NATS",
	"text":     "what NATS says",
	"scope":    "part of pion",
	"method":   "of gRPC",
	"panic":    "what a handler panicked with",
	"stack":    "where it did",
}
