package bus

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// metrics of a bus. Labels are components (application, registry, p2p_stub,
// node_stub, replica), reasons of post.go, results of requests, and kinds of passon.go.
type metrics struct {
	postedBy     [6]prometheus.Counter // by component
	deliveredTo  [6]prometheus.Counter
	refusals     *prometheus.CounterVec
	requests     *prometheus.CounterVec
	stuck        prometheus.Counter
	holds        prometheus.Counter
	questions    prometheus.Counter
	routeChanges prometheus.Counter
	registry     prometheus.Gauge
	duplicates   prometheus.Counter
	sentBy       [4]prometheus.Counter // by path
	again        prometheus.Counter
	stalls       prometheus.Counter
	passedOn     *prometheus.CounterVec
	tally        *tally
	all          []prometheus.Collector
}

func newMetrics() *metrics {
	m := &metrics{
		tally:    newTally(),
		refusals: vec("refused_total", "Messages and listener changes that were refused, by reason.", "reason"),
		requests: vec("requests_total", "Requests that have ended, by result: answered, timeout, refused or abandoned.", "result"),
		stuck:    counter("stuck_total", "Times that a listener took nothing for so long that it was refused new messages."),
		holds:    counter("holds_total", "Times that a stream was not read from because its posts waited for room."),
		questions: counter("questions_total",
			"Questions sent to the registry: about routes and sources, first ones and repeated ones."),
		routeChanges: counter("route_changes_total", "Pushed changes of routes that this bus uses."),
		duplicates:   counter("flow_duplicates_total", "Messages of flows that had been taken before, from a bus that was restarted since."),
		again:        counter("flow_retransmissions_total", "Messages of flows that were sent again."),
		stalls:       counter("flow_stalls_total", "Times that a P2P stub took nothing of a flow, which has gone over the Message Node as well since."),
		registry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "peerbus_bus_registry_connected", Help: "1 while the stream to the registry is up.",
		}),
	}
	posted := vec("posted_total", "Messages posted, by the component that posted them.", "component")
	delivered := vec("delivered_total",
		"Messages put into the queue of a listener, and responses given to their requester, by component.", "component")
	sent := vec("flow_sent_total", "Messages of flows sent to other runtimes, by path: direct, relay or both.", "path")
	for _, path := range []flow.Path{flow.Direct, flow.Relay, flow.Both} {
		m.sentBy[path] = sent.WithLabelValues(path.String())
	}
	for c := range pb.Component_name {
		m.postedBy[c] = posted.WithLabelValues(label(pb.Component(c)))
		m.deliveredTo[c] = delivered.WithLabelValues(label(pb.Component(c)))
	}
	m.passedOn = vec("passed_on_total",
		"What stubs had from other runtimes for another replica, by kind: message, ack, refusal; lost is what could not be passed on.", "kind")
	for _, kind := range passedKinds {
		m.passedOn.WithLabelValues(kind)
	}
	m.all = []prometheus.Collector{
		m.passedOn, posted, delivered, m.refusals, m.requests, m.stuck, m.holds, m.questions, m.routeChanges, m.registry,
		m.duplicates, m.again, m.stalls, sent,
	}
	m.all = append(m.all, m.tally.all...)
	for _, reason := range reasons {
		m.refusals.WithLabelValues(reason)
	}
	for _, result := range results {
		m.requests.WithLabelValues(result)
	}
	return m
}

// label is a component's name in metrics and traces. What the bus says itself
// has no component.
func label(c pb.Component) string {
	switch c {
	case pb.Component_COMPONENT_UNSPECIFIED:
		return "bus"
	case pb.Component_COMPONENT_BUS:
		return "replica"
	}
	return strings.ToLower(strings.TrimPrefix(c.String(), "COMPONENT_"))
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "peerbus_bus_" + name, Help: help})
}

func vec(name, help, label string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "peerbus_bus_" + name, Help: help}, []string{label})
}

func (m *metrics) posted(c pb.Component)           { m.postedBy[c].Inc() }
func (m *metrics) delivered(c pb.Component, n int) { m.deliveredTo[c].Add(float64(n)) }
func (m *metrics) passed(kind string)              { m.passedOn.WithLabelValues(kind).Inc() }
func (m *metrics) refused(reason string)           { m.refusals.WithLabelValues(reason).Inc() }

// transmitted counts messages of a flow that have been put into the queues of ways: so many
// of the first ones into each.
func (m *metrics) transmitted(direct, relay int, again bool) {
	both := min(direct, relay)
	m.sentBy[flow.Both].Add(float64(both))
	m.sentBy[flow.Direct].Add(float64(direct - both))
	m.sentBy[flow.Relay].Add(float64(relay - both))
	if again {
		m.again.Add(float64(max(direct, relay)))
	}
}

// results of requests.
var results = []string{"answered", "timeout", "refused", "abandoned"}

func (m *metrics) request(result string) { m.requests.WithLabelValues(result).Inc() }

// register adds the metrics, with gauges over the tables of a bus.
func (m *metrics) register(r prometheus.Registerer, b *Bus) error {
	for _, g := range []struct {
		name, help string
		value      func() int
	}{
		{"streams", "Attach and Listen streams.", b.streams.count},
		{"listeners", "Listeners of all streams.", func() int { return b.table.size().listeners }},
		{"routes", "Routes that are kept.", func() int { return b.table.size().routes }},
		{"waiting_messages", "Messages that wait for a route or a stub.", func() int { return b.table.size().waiting }},
		{"waiting_sources", "Messages that wait for the approval of their source.", b.sources.count},
		{"origins", "Clients whose posts are known by their numbers.", b.origins.count},
		{"flow_held_bytes", "What came in flows and is not dealt with.", func() int { return int(b.flows.held.Load()) }},
		{"flow_unsettled_bytes", "What went in flows and is not known to be dealt with.", b.flows.unsettled},
		{"flows_out", "Flows to other runtimes.", func() int { out, _ := b.flows.sizes(); return out }},
		{"flows_in", "Flows from other runtimes.", func() int { _, in := b.flows.sizes(); return in }},
		{"flow_waiting_messages", "Messages that wait for room in a flow to another runtime.", b.flows.waiting},
		{"replicas_connected", "Other replicas of the bus that are linked both ways; 0 when there are none.", b.mesh.connected},
		{"requests_open", "Requests that wait for their response.", b.requests.count},
	} {
		m.all = append(m.all, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "peerbus_bus_" + g.name, Help: g.help},
			func() float64 { return float64(g.value()) }))
	}
	m.all = append(m.all, newQueues(b.streams))
	for _, c := range m.all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// sizes of a table, for the gauges.
type sizes struct {
	listeners, routes, waiting int
	idle                       int // of those that wait, for nobody that is known
}

func (t *table) size() sizes {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return sizes{t.listeners, t.routes.len(), t.lobby.posts, t.lobby.idle.posts}
}

func (s *sources) count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lobby.posts
}
