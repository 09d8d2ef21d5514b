package registry

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// A rate needs the zero that a counter begins with.
func TestEverySeriesIsThereFromTheStart(t *testing.T) {
	r := prometheus.NewRegistry()
	if _, err := newMetrics(r); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]int{}
	for _, f := range families {
		have[f.GetName()] = len(f.Metric)
	}
	for name, want := range map[string]int{
		"connections": 5, "path_connections": 3, "attempts_total": 2, "transitions_total": 5, "illegal_events_total": 72,
		"resolutions_total": 11, "registrations": 2, "lookups_total": 7, "source_refusals_total": 3,
		"resolve_seconds": 1, "lookup_seconds": 1, "streams_cut_total": 1, "store_errors_total": 1,
	} {
		if n := have["peerbus_registry_"+name]; n != want {
			t.Errorf("%s has %d series, want %d", name, n, want)
		}
	}
}

func TestWhatIsUnderWayIsMeasured(t *testing.T) {
	w := newWorld(t)
	conn, stop := w.serve()
	defer stop()
	metrics := prometheus.NewRegistry()
	r, err := New(Config{
		RuntimeURL: runtimeA, Bus: conn, P2PStub: pb.NewP2PStubClient(conn), NodeStub: pb.NewNodeStubClient(conn),
		Engine: openEngine(t), Metrics: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.buses[&busStream{waiting: 2}], r.buses[&busStream{waiting: 3}] = struct{}{}, struct{}{}
	r.watchers[&watcher{}] = struct{}{}
	r.lookups["x"], r.lookups["y"], r.lookups["z"] = nil, nil, nil
	r.mu.Unlock()
	for name, want := range map[string]float64{"buses": 2, "waiting_questions": 5, "watchers": 1, "lookups_open": 3} {
		if n := gauge(t, metrics, "peerbus_registry_"+name, ""); n != want {
			t.Errorf("%s is %v, want %v", name, n, want)
		}
	}
}
