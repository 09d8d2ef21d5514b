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

// series gives what a scrape has of a metric, by its labels' values in the order of
// their names; of a histogram, its observations.
func series(t *testing.T, scrape prometheus.Gatherer, metric string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	families, err := scrape.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "peerbus_gateway_"+metric {
			continue
		}
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
	m, scrape := newMetrics(), prometheus.NewRegistry()
	if err := m.register(scrape, &Gateway{}); err != nil {
		t.Fatal(err)
	}
	h := m.count("POST /x", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "too many")
	})
	for metric, want := range map[string]struct {
		of string
		n  int
	}{
		"requests_total": {"429 POST /x", len(statuses) + 1}, "request_seconds": {"POST /x", 1},
	} {
		got := series(t, scrape, metric)
		if zero, is := got[want.of]; !is || zero != 0 || len(got) != want.n {
			t.Errorf("%s at the start: %v", metric, got)
		}
	}
	h(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/x?address=hyperty://a/b", strings.NewReader("hello")))
	if got := series(t, scrape, "requests_total"); got["429 POST /x"] != 1 || len(got) != len(statuses)+1 {
		t.Errorf("requests: %v", got)
	}
	m.count("GET /ws", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })(
		httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/ws", nil))
	if got := series(t, scrape, "requests_total"); got["other GET /ws"] != 1 {
		t.Errorf("requests: %v", got)
	}
	if got := series(t, scrape, "request_seconds"); got["POST /x"] != 1 {
		t.Errorf("durations: %v", got)
	}
	if got := series(t, scrape, "bytes_total"); got["in"] != 5 || got["out"] != 8 {
		t.Errorf("bytes: %v", got)
	}
}
