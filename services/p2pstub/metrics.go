package p2pstub

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/status"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// Reasons of drops.
const (
	dropLoop     = "loop"      // it came in through this stub
	dropChanges  = "changes"   // an older observer's copy of our own updates
	dropInvalid  = "invalid"   // no message, or a packet that is none
	dropTooLarge = "too_large" // for the peer's data channel, or from it
	dropClosed   = "closed"    // the connection is not there
	dropStub     = "for_stub"  // addressed to the stub, which has no use for it
	dropRefused  = "refused"   // the bus did not take it
)

type metrics struct {
	peers       *prometheus.GaugeVec   // role, state
	setups      *prometheus.CounterVec // role, result
	setupTime   *prometheus.HistogramVec
	phaseTime   *prometheus.HistogramVec // role, phase
	failedIn    *prometheus.CounterVec   // role, phase
	messages    *prometheus.CounterVec   // direction, framing
	bytes       *prometheus.CounterVec
	drops       *prometheus.CounterVec // reason
	addresses   *prometheus.CounterVec // result
	restarts    *prometheus.CounterVec // role
	doubts      prometheus.Counter
	roundTrip   prometheus.Histogram
	watchersCut prometheus.Counter
	overdue     prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "peerbus_p2pstub_" + name, Help: help}, labels)
	}
	m := &metrics{
		peers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "peerbus_p2pstub_peers", Help: "Peer connections by role and state.",
		}, []string{"role", "state"}),
		setups: counter("setups_total", "Set-ups that have ended, by role and result.", "role", "result"),
		setupTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "peerbus_p2pstub_setup_seconds", Help: "Time from created to live.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
		}, []string{"role"}),
		phaseTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "peerbus_p2pstub_setup_phase_seconds",
			Help: "Time of the parts of a set-up, each from the end of the one before: description (the own one is complete), " +
				"invitation (it has left), remote (the other side's description has come), ice, dtls and channel (it is open).",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
		}, []string{"role", "phase"}),
		failedIn:  counter("setup_failures_total", "Set-ups that have failed, by the phase that they were in.", "role", "phase"),
		messages:  counter("messages_total", "Messages over data channels.", "direction", "framing"),
		bytes:     counter("bytes_total", "Bytes of packets over data channels.", "direction", "framing"),
		drops:     counter("drops_total", "Messages and packets that were dropped.", "reason"),
		addresses: counter("allocations_total", "Requests for addresses of Connection objects.", "result"),
		restarts:  counter("ice_restarts_total", "Restarts of ICE, by role.", "role"),
		doubts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_p2pstub_doubts_total", Help: "Times that heartbeats were missed.",
		}),
		roundTrip: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "peerbus_p2pstub_round_trip_seconds", Help: "Round trip of heartbeats.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		watchersCut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_p2pstub_watchers_cut_total", Help: "Watch streams that were cut because they were slow.",
		}),
		overdue: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_p2pstub_overdue_closes_total", Help: "Peer connections whose end was not waited for any longer.",
		}),
	}
	m.begin()
	if r != nil {
		r.MustRegister(m.peers, m.setups, m.setupTime, m.phaseTime, m.failedIn, m.messages, m.bytes, m.drops, m.addresses, m.watchersCut,
			m.restarts, m.doubts, m.roundTrip, m.overdue)
	}
	return m
}

// begin makes all series, so that none appears with its first event only: a rate
// would miss that one.
func (m *metrics) begin() {
	for _, framing := range []string{framing.PeerBus, framing.Rethink} {
		m.countersOf("in", framing)
		m.countersOf("out", framing)
	}
	for _, reason := range []string{
		dropLoop, dropChanges, dropInvalid, dropTooLarge, dropClosed, dropStub, dropRefused,
	} {
		m.drops.WithLabelValues(reason)
	}
	for _, result := range []string{"allocated", "failed"} {
		m.addresses.WithLabelValues(result)
	}
	for _, role := range []role{requester, handler} {
		m.setupTime.WithLabelValues(role.String())
		for phase := range setupPhases {
			m.phaseTime.WithLabelValues(role.String(), phase.String())
			m.failedIn.WithLabelValues(role.String(), phase.String())
		}
		m.restarts.WithLabelValues(role.String())
		for _, result := range []string{"live", "failed", "displaced"} {
			m.setups.WithLabelValues(role.String(), result)
		}
		for state := status.Created; state <= status.Failed; state++ {
			m.peers.WithLabelValues(role.String(), state.String())
		}
	}
}

// traffics are the amounts of rtc.Traffic, with their labels.
var traffics = []struct {
	direction, kind string
	amount          func(rtc.Traffic) rtc.Amount
}{
	{"out", "stun", func(t rtc.Traffic) rtc.Amount { return t.Sent.STUN }},
	{"out", "dtls", func(t rtc.Traffic) rtc.Amount { return t.Sent.DTLS }},
	{"in", "stun", func(t rtc.Traffic) rtc.Amount { return t.Received.STUN }},
	{"in", "dtls", func(t rtc.Traffic) rtc.Amount { return t.Received.DTLS }},
}

// watch adds what is looked at when it is asked for.
func (m *metrics) watch(r prometheus.Registerer, s *Stub) {
	if r == nil {
		return
	}
	gauge := func(name, help string, value func() int) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "peerbus_p2pstub_" + name, Help: help},
			func() float64 { return float64(value()) }))
	}
	gauge("waiting_invitations", "Set-ups that others have begun and that wait for their turn.", s.waiting)
	gauge("queue_bytes", "Bytes that wait for a data channel.", s.queued)
	gauge("buffered_bytes", "Bytes that were written to data channels and have not left.", s.buffered)
	udp := func(name, help string, labels prometheus.Labels, value func(rtc.Traffic) uint64) {
		r.MustRegister(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: "peerbus_p2pstub_udp_" + name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value(s.traffic())) }))
	}
	udp("dropped_total", "Datagrams that came faster than their connection took them.", nil, func(t rtc.Traffic) uint64 { return t.Dropped })
	for _, one := range traffics {
		labels := prometheus.Labels{"direction": one.direction, "kind": one.kind}
		udp("datagrams_total", "Datagrams at the UDP sockets, by direction and kind: stun is ICE's, dtls has all else.", labels,
			func(t rtc.Traffic) uint64 { return one.amount(t).Number })
		udp("bytes_total", "Bytes of the datagrams at the UDP sockets. What dtls has above peerbus_p2pstub_bytes_total is overhead, and what SCTP sends again.", labels,
			func(t rtc.Traffic) uint64 { return one.amount(t).Bytes })
	}
}

func (m *metrics) drop(reason string) { m.drops.WithLabelValues(reason).Inc() }

// moved counts a peer's change of state; None is not there.
func (m *metrics) moved(r role, from, to status.State, since time.Duration) {
	if from != status.None {
		m.peers.WithLabelValues(r.String(), from.String()).Dec()
	}
	if to != status.None {
		m.peers.WithLabelValues(r.String(), to.String()).Inc()
	}
	switch {
	case to == status.Live && from == status.InProgress:
		m.setups.WithLabelValues(r.String(), "live").Inc()
		m.setupTime.WithLabelValues(r.String()).Observe(since.Seconds())
	case to == status.Failed:
		m.setups.WithLabelValues(r.String(), "failed").Inc()
	case to == status.None && (from == status.Created || from == status.InProgress):
		m.setups.WithLabelValues(r.String(), "displaced").Inc()
	}
}
