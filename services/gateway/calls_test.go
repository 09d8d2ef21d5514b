package gateway

import (
	"testing"

	dto "github.com/prometheus/client_model/go"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func big(to, body string) *pb.Message {
	return &pb.Message{Id: "1", Type: "ping", From: alice, To: to, Body: []byte(body)}
}

// metric is the sum of a counter's series, or how often a histogram was written to.
func (d *door) metric(name string, labels ...string) (sum float64) {
	d.t.Helper()
	families, err := d.metrics.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && hasLabels(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func hasLabels(m *dto.Metric, want []string) bool {
	found := 0
	for _, l := range m.Label {
		for _, w := range want {
			if l.GetName()+"="+l.GetValue() == w {
				found++
			}
		}
	}
	return found == len(want)
}

func TestNothing(*testing.T) {}
