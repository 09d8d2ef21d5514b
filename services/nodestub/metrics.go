package nodestub

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
)

// Values of the labels of peerbus_nodestub_messages_total.
const (
	// Directions: to a Message Node, and from one.
	directionOut = "out"
	directionIn  = "in"
	// Kinds: what applications send, and the runtimes' own signalling.
	kindMessage = "message"
	kindService = "service"
	// Outcomes of what goes out.
	outcomeSent    = "sent"    // handed to the connection with the node
	outcomeLooped  = "looped"  // dropped: it came in through the same stub
	outcomeRefused = "refused" // answered with a refusal, or dropped if it is a response
	// Outcomes of what comes in.
	outcomePosted  = "posted"  // handed to the bus
	outcomeSession = "session" // an answer of the session service, for the stub itself
	outcomeInvalid = "invalid" // no message that can be routed
	outcomeDropped = "dropped" // could not be handed to the bus before the end
)

// metrics of a Stub. No label has an address or a domain in it.
type metrics struct {
	messages      *prometheus.CounterVec
	bytes         *prometheus.CounterVec
	sessions      *prometheus.GaugeVec
	reconnects    prometheus.Counter
	renewals      prometheus.Counter
	queueMessages prometheus.Gauge
	queueBytes    prometheus.Gauge
	watchersCut   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	m := &metrics{
		messages: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "peerbus_nodestub_messages_total",
			Help: "Messages by direction (out: to a Message Node), kind (service: the runtimes' own signalling) and outcome.",
		}, []string{"direction", "kind", "outcome"}),
		bytes: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "peerbus_nodestub_bytes_total",
			Help: "Bytes of the messages that were sent (out) or posted (in), as they are encoded for gRPC.",
		}, []string{"direction"}),
		sessions: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "peerbus_nodestub_sessions",
			Help: "Sessions with Message Nodes by state.",
		}, []string{"state"}),
		reconnects: auto.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_nodestub_reconnects_total",
			Help: "Sessions that became live again after their connection was lost.",
		}),
		renewals: auto.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_nodestub_renewals_total",
			Help: "Sessions given by a Message Node in place of the one held here, first ones included.",
		}),
		queueMessages: auto.NewGauge(prometheus.GaugeOpts{
			Name: "peerbus_nodestub_queue_messages",
			Help: "Messages that wait for their Message Node.",
		}),
		queueBytes: auto.NewGauge(prometheus.GaugeOpts{
			Name: "peerbus_nodestub_queue_bytes",
			Help: "Bytes of the messages that wait for their Message Node.",
		}),
		watchersCut: auto.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_nodestub_watchers_cut_total",
			Help: "Watch streams ended because their reader was too slow.",
		}),
	}
	m.preset()
	return m
}

// preset makes every series of the vectors, so that a reader finds a zero where
// nothing has happened.
func (m *metrics) preset() {
	m.bytes.WithLabelValues(directionIn)
	m.bytes.WithLabelValues(directionOut)
	for _, kind := range []string{kindMessage, kindService} {
		for _, outcome := range []string{outcomeSent, outcomeLooped, outcomeRefused} {
			m.messages.WithLabelValues(directionOut, kind, outcome)
		}
		for _, outcome := range []string{outcomePosted, outcomeSession, outcomeInvalid, outcomeDropped} {
			m.messages.WithLabelValues(directionIn, kind, outcome)
		}
	}
	for _, state := range []string{"connecting", "live", "disconnected", "failed"} {
		m.sessions.WithLabelValues(state)
	}
}

func (m *metrics) count(direction, outcome string, msg *pb.Message) {
	t := m.tally(direction, outcome)
	t.add(msg, codec.Size(msg))
	t.end()
}

// tally counts messages with one outcome together: most of a batch have both ends in
// common.
type tally struct {
	metrics            *metrics
	direction, outcome string
	from, to, kind     string // of the last one
	messages, bytes    int    // with that kind; of all
}

func (m *metrics) tally(direction, outcome string) tally {
	return tally{metrics: m, direction: direction, outcome: outcome}
}

// add counts a message of so many bytes.
func (t *tally) add(m *pb.Message, size int) {
	if t.messages == 0 || m.GetFrom() != t.from || m.GetTo() != t.to {
		t.flush()
		t.from, t.to, t.kind = m.GetFrom(), m.GetTo(), kindOf(m)
	}
	t.messages++
	t.bytes += size
}

func (t *tally) flush() {
	if t.messages > 0 {
		t.metrics.messages.WithLabelValues(t.direction, t.kind, t.outcome).Add(float64(t.messages))
		t.messages = 0
	}
}

func (t *tally) end() {
	t.flush()
	if t.bytes > 0 && (t.outcome == outcomeSent || t.outcome == outcomePosted) {
		t.metrics.bytes.WithLabelValues(t.direction).Add(float64(t.bytes))
	}
}

func (m *metrics) queued(messages, bytes int) {
	m.queueMessages.Add(float64(messages))
	m.queueBytes.Add(float64(bytes))
}

// moved counts a session in its new state; an empty name is none.
func (m *metrics) moved(from, to string) {
	if from != "" {
		m.sessions.WithLabelValues(from).Dec()
	}
	if to != "" {
		m.sessions.WithLabelValues(to).Inc()
	}
}

// kindOf tells the runtimes' signalling, which always goes over Message Nodes,
// from what applications send: one end of it is a backend service, the session
// service, a p2p stub or a Connection object.
func kindOf(m *pb.Message) string {
	if isService(m.GetFrom()) || isService(m.GetTo()) {
		return kindService
	}
	return kindMessage
}

func isService(text string) bool {
	if text == address.Session {
		return true
	}
	u, err := address.Parse(text)
	if err != nil {
		return false
	}
	return u.Kind == address.Backend || u.Kind == address.P2PStub || u.Kind == address.ConnectionData
}
