package main

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func gauge(name string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "A gauge."})
}

func TestMetricsAreThereWhenTheyAreAskedFor(t *testing.T) {
	m := newMetrics()
	for _, step := range []struct{ add, want string }{{"early", "early"}, {"late", "early late"}} {
		if err := m.Register(gauge(step.add)); err != nil {
			t.Error(err)
		}
		families, err := m.Gather()
		var names []string
		for _, f := range families {
			names = append(names, f.GetName())
		}
		if got := strings.Join(names, " "); err != nil || got != step.want {
			t.Errorf("%q, %v, want %q", got, err, step.want)
		}
	}
}

func TestMetricsOfOneNameAreAnError(t *testing.T) {
	m := newMetrics()
	m.MustRegister(gauge("twice"), gauge("twice"))
	for range 2 {
		if families, err := m.Gather(); err == nil || len(families) != 1 {
			t.Errorf("%v, %v", families, err)
		}
	}
}

func TestMetricsThatAreGone(t *testing.T) {
	m := newMetrics()
	g := gauge("gone")
	m.MustRegister(g)
	if !m.Unregister(g) || m.Unregister(g) {
		t.Error("it was not there once")
	}
	if families, err := m.Gather(); err != nil || len(families) != 0 {
		t.Errorf("%v, %v", families, err)
	}
}
