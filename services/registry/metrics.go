package registry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/status"
)

// Values of labels.
const (
	kindHyperty = "hyperty"
	kindObject  = "data object"

	attemptLost = "lost"
	attemptWorn = "worn"

	lookupFound        = "found"
	lookupMissing      = "missing"
	lookupDisconnected = "disconnected"
	lookupNoAnswer     = "no answer"
	lookupRefused      = "refused"
	lookupMalformed    = "malformed"
	lookupTooMany      = "too many"

	fromLocal = "local"
	fromPeer  = "peer"
	fromNode  = "node"

	forwardDone    = "done"
	forwardRefused = "refused"
	forwardNobody  = "nobody leads"
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
	resolveTime   prometheus.Histogram
	lookups       *prometheus.CounterVec
	lookupTime    prometheus.Histogram
	refusals      *prometheus.CounterVec
	cut           prometheus.Counter
	storeErrors   prometheus.Counter
	forwarded     *prometheus.CounterVec
	leads         prometheus.Gauge

	now atomic.Pointer[Registry] // that works now; nil while none does
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	const ns, sub = "peerbus", "registry"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	seconds := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help, Buckets: buckets})
	}
	m := &metrics{
		connections: gauge("connections", "Entries of the p2pConnection table.", "state"),
		paths:       gauge("path_connections", "Remote runtimes of the table, by the path that messages to them take.", "path"),
		attempts:    counter("attempts_total", "Set-ups without a message that wanted them.", "why"),
		transitions: counter("transitions_total", "Changes of an entry's state.", "state"),
		illegal:     counter("illegal_events_total", "Events that an entry's state does not allow.", "state", "event"),
		resolutions: counter("resolutions_total", "Resolved addresses, by the rule that decided.", "reason"),
		resolveTime: seconds("resolve_seconds",
			"Time from the question where an address is to the answer, with the wait for a Message Node stub where there is one.",
			.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .05, .1, .5, 1, 5, 10),
		lookupTime: seconds("lookup_seconds", "Time that a domain registry took to answer, or was waited for.",
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10),
		registrations: gauge("registrations", "Hyperties and data objects of this runtime.", "kind"),
		lookups:       counter("lookups_total", "Look-ups in domain registries.", "outcome"),
		refusals:      counter("source_refusals_total", "Messages whose from is not the sender's.", "from"),
		cut: prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
			Name: "streams_cut_total", Help: "Streams of buses that did not keep up."}),
		storeErrors: prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
			Name: "store_errors_total", Help: "Writes that the store did not take."}),
		forwarded: counter("forwarded_total", "Calls of a replica that does not lead to the one that does.", "outcome"),
		leads: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub,
			Name: "leads", Help: "1 while this is the registry that leads, or the only one; 0 while it stands by."}),
	}
	m.begin()
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.connections, m.paths, m.attempts, m.transitions, m.illegal, m.resolutions, m.resolveTime, m.registrations, m.lookups, m.lookupTime, m.refusals, m.cut, m.storeErrors, m.forwarded, m.leads,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, m.watch(reg)
}

// office notes which registry works now, nil for none. What was counted of one before
// it is so no more.
func (m *metrics) office(r *Registry) {
	m.now.Store(r)
	m.connections.Reset()
	m.paths.Reset()
	m.registrations.Reset()
	m.begin()
	m.leads.Set(0)
	if r != nil {
		m.leads.Set(1)
	}
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

// resolved counts an answer, and the time that it took.
func (m *metrics) resolved(reason pb.RouteReason, took time.Duration) {
	m.resolutions.WithLabelValues(reasonName(reason)).Inc()
	m.resolveTime.Observe(took.Seconds())
}

// lookedUp likewise.
func (m *metrics) lookedUp(outcome string, took time.Duration) {
	m.lookups.WithLabelValues(outcome).Inc()
	m.lookupTime.Observe(took.Seconds())
}

// begin makes all series, so that none appears with its first event only: a rate
// would miss that one.
func (m *metrics) begin() {
	each := func(vec *prometheus.CounterVec, values ...string) {
		for _, v := range values {
			vec.WithLabelValues(v)
		}
	}
	for state := status.None; state <= status.Failed; state++ {
		for kind := wanted; kind <= postponed; kind++ {
			m.illegal.WithLabelValues(state.String(), kind.String())
		}
		if state != status.None {
			m.connections.WithLabelValues(state.String())
			m.transitions.WithLabelValues(state.String())
		}
	}
	for _, p := range []pb.Path{direct, relay, both} {
		m.paths.WithLabelValues(pathName(p))
	}
	for reason := range pb.RouteReason_name {
		if r := pb.RouteReason(reason); r != pb.RouteReason_ROUTE_REASON_UNSPECIFIED {
			m.resolutions.WithLabelValues(reasonName(r))
		}
	}
	for _, kind := range []string{kindHyperty, kindObject} {
		m.registrations.WithLabelValues(kind)
	}
	each(m.attempts, attemptLost, attemptWorn)
	each(m.lookups, lookupFound, lookupMissing, lookupDisconnected, lookupNoAnswer, lookupRefused, lookupMalformed, lookupTooMany)
	each(m.refusals, fromLocal, fromPeer, fromNode)
	each(m.forwarded, forwardDone, forwardRefused, forwardNobody)
}

// watch adds gauges over what the registry that works has under way.
func (m *metrics) watch(reg prometheus.Registerer) error {
	for _, g := range []struct {
		name, help string
		value      func(*Registry) int
	}{
		{"buses", "Streams of buses, and of replicas that stand by.", func(r *Registry) int { return len(r.buses) }},
		{"watchers", "Streams of those who watch connections.", func(r *Registry) int { return len(r.watchers) }},
		{"lookups_open", "Look-ups in domain registries that are under way.", func(r *Registry) int { return len(r.lookups) }},
		{"waiting_questions", "Questions of buses that wait for a Message Node stub or a look-up.", (*Registry).waitingLocked},
		{"p2pstubs", "P2P stubs that say what they have.", (*Registry).stubsLocked},
	} {
		err := reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "peerbus_registry_" + g.name, Help: g.help}, func() float64 {
			r := m.now.Load()
			if r == nil {
				return 0
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			return float64(g.value(r))
		}))
		if err != nil {
			return err
		}
	}
	return nil
}

// stubsLocked counts the P2P stubs that can be seen.
func (r *Registry) stubsLocked() (seen int) {
	for _, p := range r.p2p {
		if p.seen {
			seen++
		}
	}
	return seen
}

// waitingLocked counts the questions that wait.
func (r *Registry) waitingLocked() (questions int) {
	for b := range r.buses {
		questions += b.waiting
	}
	return questions
}
