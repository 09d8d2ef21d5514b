package bus

import (
	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// queues tells how full the queues of the listeners are, by component. It looks at
// each when it is asked, so that nothing is counted on the way of a message.
type queues struct {
	streams                            *streams
	messages, bytes, overflow, fullest *prometheus.Desc
}

func newQueues(s *streams) *queues {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("peerbus_bus_"+name, help, []string{"component"}, nil)
	}
	return &queues{
		streams:  s,
		messages: desc("queue_messages", "Messages in the queues of listeners, by component."),
		bytes:    desc("queue_bytes", "Bytes in the queues of listeners, by component."),
		overflow: desc("overflow_messages", "Messages that wait for room in the queue of a listener; their posters are held up."),
		fullest:  desc("queue_fullest_ratio", "How full the fullest queue of a component's listeners is: 1 is its bound, in messages or bytes."),
	}
}

// Describe is prometheus.Collector's.
func (q *queues) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{q.messages, q.bytes, q.overflow, q.fullest} {
		c <- d
	}
}

// fill is what stands in some queues.
type fill struct {
	messages, bytes, overflow int
	fullest                   float64
}

// Collect is prometheus.Collector's.
func (q *queues) Collect(c chan<- prometheus.Metric) {
	fills := map[pb.Component]*fill{}
	for number := range pb.Component_name {
		if comp := pb.Component(number); comp != pb.Component_COMPONENT_UNSPECIFIED {
			fills[comp] = &fill{}
		}
	}
	for _, s := range q.streams.here() {
		if f := fills[s.comp]; f != nil {
			s.fill(f)
		}
	}
	for comp, f := range fills {
		gauge := func(d *prometheus.Desc, value float64) {
			c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, label(comp))
		}
		gauge(q.messages, float64(f.messages))
		gauge(q.bytes, float64(f.bytes))
		gauge(q.overflow, float64(f.overflow))
		gauge(q.fullest, f.fullest)
	}
}

// fill adds what stands in the queues of a stream.
func (s *stream) fill(f *fill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.inboxes {
		f.messages += in.messages
		f.bytes += in.bytes
		f.overflow += in.outside
		f.fullest = max(f.fullest, float64(in.bytes)/float64(s.limits.QueueBytes),
			float64(in.messages)/float64(s.limits.QueueMessages))
	}
}
