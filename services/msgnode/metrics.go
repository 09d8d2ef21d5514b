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
	refused  *prometheus.CounterVec
	dropped  *prometheus.CounterVec
	sessions *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "peerbus_msgnode_" + name, Help: help}, labels)
	}
	return &metrics{
		sockets: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "peerbus_msgnode_sockets", Help: "Connections of clients at this replica.",
		}, []string{"transport"}),
		received: counter("received_total", "Messages read from clients.", "transport"),
		sent:     counter("sent_total", "Messages written to clients.", "transport"),
		relayed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_msgnode_relayed_total", Help: "Messages handed to a session, one for each.",
		}),
		refused:  counter("refused_total", "Messages refused, by the step that refused and its code.", "step", "code"),
		dropped:  counter("dropped_total", "Messages that a holder did not get, by reason.", "reason"),
		sessions: counter("session_events_total", "Changes of sessions, by what happened.", "outcome"),
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
		m.sockets, m.received, m.sent, m.relayed, m.refused, m.dropped, m.sessions,
		gauge("sessions", "Sessions of the domain.", func() int { return len(n.directory.sessions) }),
		gauge("addresses", "Addresses that lead to a session.", func() int { return len(n.directory.places) }),
		gauge("mailbox_messages", "Messages that wait for a session which is not connected.", func() int { return n.mail.letters() }),
		gauge("mailbox_bytes", "Their bytes, with what each costs besides its content.", func() int { return n.mail.bytes }),
		gauge("registry_entries", "Entries of the domain registry.", func() int { return len(n.index.entries) }),
	} {
		if err := r.Register(c); err != nil {
			return fault.New(fault.Conflict, "metrics: %w", err)
		}
	}
	return nil
}

func codeLabel(c fault.Code) string { return strconv.Itoa(int(c)) }
