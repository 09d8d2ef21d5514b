package bus

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// tally counts what becomes of messages: of those that this runtime's own listeners
// post (out), by the path that they take, and of those that come from other runtimes
// (in), by the path on which they came. Packets of a flow, and what the bus says
// itself, are not counted. All series are made at the start.
type tally struct {
	messages [courses]outcomes
	all      []prometheus.Collector
}

// course is where a message comes from, and its path.
type course int

const (
	outNone  course = iota // posted here, and not put anywhere: it was refused before, or waits
	outLocal               // to a listener of this runtime
	outDirect
	outRelay
	outBoth
	inDirect // from another runtime
	inRelay
	courses
)

// labels of the courses: direction and path.
var labels = [courses][2]string{
	{"out", "none"}, {"out", "local"}, {"out", "direct"}, {"out", "relay"}, {"out", "both"}, {"in", "direct"}, {"in", "relay"},
}

// outcomes of the messages of one course.
type outcomes struct {
	accepted, delivered, refused4xx, refused5xx, timedOut, abandoned, bytes prometheus.Counter

	roundTrip prometheus.Observer // of requests; nil for what came in
}

func newTally() *tally {
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "peerbus_bus_messages_total",
		Help: "Messages by direction (out: posted in this runtime), path and outcome. " +
			"Each is accepted (path none: before its way was known) or not, and ends delivered or refused; " +
			"timed_out says that its sender was told 408, after which a message that is not a request may still be delivered; " +
			"a request is abandoned when its poster has gone.",
	}, []string{"direction", "path", "outcome"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "peerbus_bus_bytes_total", Help: "Bytes of the messages that were delivered, by direction and path.",
	}, []string{"direction", "path"})
	requests := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "peerbus_bus_request_seconds", Help: "Time from a request to its response, by the path of the request.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"path"})
	t := &tally{all: []prometheus.Collector{messages, bytes, requests}}
	for c, label := range labels {
		count := func(outcome string) prometheus.Counter { return messages.WithLabelValues(label[0], label[1], outcome) }
		t.messages[c] = outcomes{
			accepted: count("accepted"), delivered: count("delivered"), refused4xx: count("refused_4xx"),
			refused5xx: count("refused_5xx"), timedOut: count("timed_out"), abandoned: count("abandoned"), bytes: bytes.WithLabelValues(label[:]...),
		}
		if course(c) < inDirect {
			t.messages[c].roundTrip = requests.WithLabelValues(label[1])
		}
	}
	return t
}

// trail is what is counted of a post.
type trail struct {
	tally *tally        // nil for what is not counted
	paths atomic.Uint32 // flow.Path, and hereabouts
	taken atomic.Bool   // counted as accepted
	ended atomic.Bool   // counted as over
}

// hereabouts stands beside the paths of flows for a listener of this runtime.
const hereabouts = 1 << 16

// went notes that a post was put into the queue of a component's listener.
func (p *post) went(to pb.Component) {
	switch to {
	case pb.Component_COMPONENT_P2P_STUB:
		p.trail.paths.Or(uint32(flow.Direct))
	case pb.Component_COMPONENT_NODE_STUB:
		p.trail.paths.Or(uint32(flow.Relay))
	default:
		p.trail.paths.Or(hereabouts)
	}
}

// course of a post by now. A post that goes to others and to listeners here counts
// for the others.
func (p *post) course() course {
	if p.ingress != nil {
		if p.by.component() == pb.Component_COMPONENT_NODE_STUB {
			return inRelay
		}
		return inDirect
	}
	switch paths := p.trail.paths.Load(); {
	case paths&uint32(flow.Both) == uint32(flow.Both):
		return outBoth
	case paths&uint32(flow.Direct) != 0:
		return outDirect
	case paths&uint32(flow.Relay) != 0:
		return outRelay
	case paths != 0:
		return outLocal
	default:
		return outNone
	}
}

// counts are those of a post's course; nil when it is not counted.
func (p *post) counts() *outcomes {
	if p.trail.tally == nil {
		return nil
	}
	return &p.trail.tally.messages[p.course()]
}

// countAccepted counts a post that was taken, once.
func (p *post) countAccepted() {
	if o := p.counts(); o != nil && !p.trail.taken.Swap(true) {
		o.accepted.Inc()
	}
}

// countLate counts a post whose poster was told that its time ran out.
func (p *post) countLate() {
	if o := p.counts(); o != nil {
		o.timedOut.Inc()
	}
}

// countAbandoned counts a request that nobody waits for any more.
func (p *post) countAbandoned() {
	if o := p.counts(); o != nil && !p.trail.ended.Swap(true) {
		o.abandoned.Inc()
	}
}

// countEnd counts a post that is over, once.
func (p *post) countEnd(err error) {
	o := p.counts()
	if o == nil || p.trail.ended.Swap(true) {
		return
	}
	switch code := fault.CodeOf(err); {
	case err == nil:
		o.delivered.Inc()
		o.bytes.Add(float64(p.size))
	case code == fault.Timeout:
		o.timedOut.Inc()
	case code < fault.Internal:
		o.refused4xx.Inc()
	default:
		o.refused5xx.Inc()
	}
}
