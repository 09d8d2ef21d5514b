package msgnode

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/peerbus/peerbus/internal/fault"
)

// metrics of a node. Labels are bounded: transports, steps of the pipeline,
// codes, reasons and outcomes.
type metrics struct {
	sockets  *prometheus.GaugeVec
	received *prometheus.CounterVec
	sent     *prometheus.CounterVec
	relayed  prometheus.Counter
	bytes    prometheus.Counter
	refused  *prometheus.CounterVec
	dropped  *prometheus.CounterVec
	sessions *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "peerbus_msgnode_" + name, Help: help}, labels)
	}
	m := &metrics{
		sockets: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "peerbus_msgnode_sockets", Help: "Connections of clients at this replica.",
		}, []string{"transport"}),
		received: counter("received_total", "Messages read from clients.", "transport"),
		sent:     counter("sent_total", "Messages written to clients.", "transport"),
		relayed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_msgnode_relayed_total", Help: "Messages handed to a session, one for each.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_msgnode_relayed_bytes_total", Help: "Bytes of the messages handed to a session.",
		}),
		refused:  counter("refused_total", "Messages refused, by the step that refused and its code.", "step", "code"),
		dropped:  counter("dropped_total", "Messages that a holder did not get, by reason.", "reason"),
		sessions: counter("session_events_total", "Changes of sessions, by what happened.", "outcome"),
	}
	m.begin()
	return m
}

// Names of transports.
const (
	transportGRPC      = "grpc"
	transportWebSocket = "websocket"
)

// Reasons of drops.
const (
	dropLate    = "late"         // it waited too long in a mailbox
	dropFull    = "full"         // the queue or the mailbox of its holder
	dropClosed  = "closed"       // the session has ended
	dropAway    = "away"         // the session is lost
	dropControl = "control"      // an answer to a client that takes none
	dropNoJSON  = "no JSON form" // it cannot be written for a WebSocket
)

// begin makes all series, so that none appears with its first event only: a rate
// would miss that one.
func (m *metrics) begin() {
	for _, transport := range []string{transportGRPC, transportWebSocket} {
		m.sockets.WithLabelValues(transport)
		m.received.WithLabelValues(transport)
		m.sent.WithLabelValues(transport)
	}
	for _, step := range pipeline {
		for _, code := range []fault.Code{
			fault.BadRequest, fault.Forbidden, fault.NotFound, fault.Timeout, fault.Conflict, fault.TooLarge, fault.TooMany, fault.Unavailable,
		} {
			m.refused.WithLabelValues(step.name, codeLabel(code))
		}
	}
	for _, reason := range []string{dropLate, dropFull, dropClosed, dropAway, dropControl, dropNoJSON} {
		m.dropped.WithLabelValues(reason)
	}
	for _, o := range []outcome{outOpened, outMoved, outKept, outRenewed, outLost, outEnded, outExpired} {
		m.sessions.WithLabelValues(string(o))
	}
}

// register puts the metrics and the gauges of the node's tables into r.
func (n *Node) register(r prometheus.Registerer) error {
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "peerbus_msgnode_" + name, Help: help}, func() float64 {
			n.mu.RLock()
			defer n.mu.RUnlock()
			return float64(value())
		})
	}
	m := n.metrics
	for _, c := range []prometheus.Collector{
		m.sockets, m.received, m.sent, m.relayed, m.bytes, m.refused, m.dropped, m.sessions,
		gauge("sessions", "Sessions of the domain.", func() int { return len(n.directory.sessions) }),
		gauge("addresses", "Addresses that lead to a session.", func() int { return len(n.directory.places) }),
		gauge("mailbox_messages", "Messages that wait for a session which is not connected.", func() int { return n.mail.letters() }),
		gauge("mailbox_bytes", "Bytes of the messages that wait for a session which is not connected, with what each costs besides its content.", func() int { return n.mail.bytes }),
		gauge("queue_messages", "Messages that wait for the sockets of sessions.", func() int { return n.queued().messages }),
		gauge("queue_bytes", "Bytes of the messages that wait for the sockets of sessions.", func() int { return n.queued().bytes }),
		gauge("control_queue_messages", "Answers of the node that wait for sockets.", func() int { return n.queued().control }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "peerbus_msgnode_store_away_seconds", Help: "Since when this replica has not known all that is in NATS (from 15 s on it is not ready), or could write nothing there (8.5 s).",
		}, func() float64 { return max(n.storeAway(), n.unwritable()).Seconds() }),
		gauge("registry_entries", "Entries of the domain registry.", func() int { return len(n.index.entries) }),
	} {
		if err := r.Register(c); err != nil {
			return fault.New(fault.Conflict, "metrics: %w", err)
		}
	}
	return nil
}

// waiting is what stands in queues.
type waiting struct{ messages, bytes, control int }

// queued sums up the queues of all sockets. It is called with mu held.
func (n *Node) queued() (all waiting) {
	for _, s := range n.sockets {
		s.queue.mu.Lock()
		all.messages += len(s.queue.relay)
		all.bytes += s.queue.bytes
		all.control += len(s.queue.control)
		s.queue.mu.Unlock()
	}
	return all
}

func codeLabel(c fault.Code) string { return strconv.Itoa(int(c)) }
