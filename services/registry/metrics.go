package registry

import (
	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/status"
)

// metrics of a registry. No label has an address.
type metrics struct {
	connections   *prometheus.GaugeVec
	paths         *prometheus.GaugeVec
	attempts      *prometheus.CounterVec
	transitions   *prometheus.CounterVec
	illegal       *prometheus.CounterVec
	resolutions   *prometheus.CounterVec
	registrations *prometheus.GaugeVec
	lookups       *prometheus.CounterVec
	refusals      *prometheus.CounterVec
	cut           prometheus.Counter
	storeErrors   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	const ns, sub = "peerbus", "registry"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	m := &metrics{
		connections:   gauge("connections", "Entries of the p2pConnection table.", "state"),
		paths:         gauge("path_connections", "Remote runtimes of the table, by the path that messages to them take.", "path"),
		attempts:      counter("attempts_total", "Set-ups without a message that wanted them.", "why"),
		transitions:   counter("transitions_total", "Changes of an entry's state.", "state"),
		illegal:       counter("illegal_events_total", "Events that an entry's state does not allow.", "state", "event"),
		resolutions:   counter("resolutions_total", "Resolved addresses, by the rule that decided.", "reason"),
		registrations: gauge("registrations", "Hyperties and data objects of this runtime.", "kind"),
		lookups:       counter("lookups_total", "Look-ups in domain registries.", "outcome"),
		refusals:      counter("source_refusals_total", "Messages whose from is not the sender's.", "from"),
		cut: prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
			Name: "streams_cut_total", Help: "Streams of buses that did not keep up."}),
		storeErrors: prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
			Name: "store_errors_total", Help: "Writes that the store did not take."}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.connections, m.paths, m.attempts, m.transitions, m.illegal, m.resolutions, m.registrations, m.lookups, m.refusals, m.cut, m.storeErrors,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// moved counts an entry's change.
func (m *metrics) moved(before, after status.State) {
	if before == after {
		return
	}
	if before != status.None {
		m.connections.WithLabelValues(before.String()).Dec()
	}
	if after != status.None {
		m.connections.WithLabelValues(after.String()).Inc()
		m.transitions.WithLabelValues(after.String()).Inc()
	}
}

// tookPath counts the path of an entry.
func (m *metrics) tookPath(before, after *connection) {
	if before.exists() == after.exists() && before.Path.Way == after.Path.Way {
		return
	}
	if before.exists() {
		m.paths.WithLabelValues(pathName(before.Path.Way)).Dec()
	}
	if after.exists() {
		m.paths.WithLabelValues(pathName(after.Path.Way)).Inc()
	}
}

func (m *metrics) resolved(reason pb.RouteReason) {
	m.resolutions.WithLabelValues(reasonName(reason)).Inc()
}
