package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/peerbus/peerbus/internal/local"
)

// scrape reads the metrics of a process, by name, once it serves.
func scrape(t *testing.T, addr string) map[string]*dto.MetricFamily {
	t.Helper()
	for ctx := testContext(t); ; {
		families, err := tryScrape(ctx, addr)
		if err == nil {
			return families
		}
		if !pause(ctx) {
			t.Fatal(err)
		}
	}
}

func tryScrape(ctx context.Context, addr string) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(resp.Body)
}

// ours tells our own metrics from those that every Go process has.
func ours(name string) bool { return strings.HasPrefix(name, "peerbus_") }

// seriesIn names all series of our own metrics.
func seriesIn(families map[string]*dto.MetricFamily) map[string][]*dto.LabelPair {
	all := map[string][]*dto.LabelPair{}
	for name, f := range families {
		if !ours(name) {
			continue
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(labels)
			all[name+"{"+strings.Join(labels, ",")+"}"] = m.Label
		}
	}
	return all
}

// labelNames are all labels that our metrics may have. What any of them can be is
// known beforehand: an address, a name that somebody chose, or an error's text never is.
var labelNames = []string{
	"code", "component", "direction", "event", "framing", "from", "go_version", "kind", "outcome", "path", "phase",
	"reason", "result", "role", "route", "state", "step", "transport", "version", "why",
}

// Whatever is sent, no series appears that was not there when the process began, so
// that they are bounded, and that rates count the first event of each.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	system := newSystem(t)
	node := startNode(t, system)
	alice := startRuntime(t, system, "alice", local.AllInOne, []*local.Node{node})
	bob := startRuntime(t, system, "bob", local.Separate, []*local.Node{node})
	processes := map[string]string{"msgnode": node.HTTPAddr, "alice": alice.MetricsAddrs["runtime"]}
	maps.Copy(processes, bob.MetricsAddrs)
	before := map[string]map[string][]*dto.LabelPair{}
	for name, addr := range processes {
		before[name] = seriesIn(scrape(t, addr))
	}
	p := readyPair(t, system, node, alice, bob)
	traffic(t, p)
	moved := 0
	for name, addr := range processes {
		after := scrape(t, addr)
		if build := after["peerbus_build_info"]; build == nil || build.Metric[0].GetGauge().GetValue() != 1 {
			t.Errorf("%s does not say its version: %v", name, build)
		}
		for series, labels := range seriesIn(after) {
			if _, there := before[name][series]; !there {
				t.Errorf("%s: %s was not there from the start", name, series)
			}
			for _, l := range labels {
				if !slices.Contains(labelNames, l.GetName()) || strings.Contains(l.GetValue(), "://") || len(l.GetValue()) > 40 {
					t.Errorf("%s: %s has the label %s=%q", name, series, l.GetName(), l.GetValue())
				}
			}
		}
		for _, m := range after["peerbus_bus_messages_total"].GetMetric() {
			moved += int(m.GetCounter().GetValue())
		}
	}
	if moved < 10 {
		t.Errorf("%d messages were counted: this shows nothing", moved)
	}
}

// readyPair waits for two runtimes, and registers a hyperty at each.
func readyPair(t *testing.T, system *local.System, node *local.Node, alice, bob *local.Runtime) *pair {
	t.Helper()
	for _, r := range []*local.Runtime{alice, bob} {
		ready(t, r)
	}
	return &pair{
		system: system, node: node, alice: alice, bob: bob,
		aliceURL: register(t, alice, "alice"), bobURL: register(t, bob, "bob"),
	}
}

// traffic sends over both paths, and to nobody, and asks the gateway for what is there
// and for what is not.
func traffic(t *testing.T, p *pair) {
	t.Helper()
	in := listen(t, p.bob, p.bobURL)
	settle(t, p, in)
	waitConnection(t, p.bob, p.alice.URL, live)
	for i := range 10 {
		post(t, p.alice, pingOf(p.aliceURL, p.bobURL, i))
		in.next()
	}
	gateway := "http://" + p.alice.MetricsAddrs["runtime"]
	for _, path := range []string{
		"/v1/runtime", "/v1/connections", "/v1/resolve?address=" + url.QueryEscape(p.bobURL), "/v1/resolve?address=nonsense",
		"/v1/connections/" + url.PathEscape("hyperty://x/y"), "/hyperty://example.org/nobody", "/v1/messages", "/ws", "/docs/",
	} {
		req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, gateway+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	for _, body := range []string{
		`{"message":{"type":"ping","from":"` + p.aliceURL + `","to":"hyperty://example.org/nobody"}}`, `{"message":`,
	} {
		resp, err := http.Post(gateway+"/v1/messages?wait=delivered", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}
