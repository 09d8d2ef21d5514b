package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// series gives the value of a series by its labels' values, in the order of their
// names; of a histogram, its observations.
func series(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			all[valuesOf(m)] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func valuesOf(m *dto.Metric) string {
	var values []string
	for _, l := range m.Label {
		values = append(values, l.GetValue())
	}
	return strings.Join(values, " ")
}

func TestRequestsAreCounted(t *testing.T) {
	m := newMetrics()
	h := m.count("POST /x", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "too many")
	})
	if got := series(t, begun{m.requests, m.begin}); len(got) != len(statuses)+1 || got["429 POST /x"] != 0 {
		t.Errorf("at the start: %v", got)
	}
	h(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/x?address=hyperty://a/b", strings.NewReader("hello")))
	if got := series(t, m.requests); got["429 POST /x"] != 1 || len(got) != len(statuses)+1 {
		t.Errorf("requests: %v", got)
	}
	m.count("GET /ws", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })(
		httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/ws", nil))
	if got := series(t, m.requests); got["other GET /ws"] != 1 {
		t.Errorf("requests: %v", got)
	}
	if got := series(t, m.duration); got["POST /x"] != 1 {
		t.Errorf("durations: %v", got)
	}
	if got := series(t, m.bytes); got["in"] != 5 || got["out"] != 8 {
		t.Errorf("bytes: %v", got)
	}
}
