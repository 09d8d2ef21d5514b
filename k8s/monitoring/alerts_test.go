package monitoring

import (
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

func readAlerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	data, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(data, false, model.LegacyValidation, promQL, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

var annotationLabel = regexp.MustCompile(`\$labels\.(\w+)`)

// Each alert is about what the services serve, and tells whoever is called what is
// wrong, what it means, and what to do.
func TestAlerts(t *testing.T) {
	all := metrics(t)
	for _, r := range readAlerts(t) {
		result, used, wrong := check(all, r.Expr)
		for _, w := range wrong {
			t.Errorf("%s: %s", r.Alert, w)
		}
		if len(used) == 0 && !strings.HasPrefix(r.Expr, "up{") {
			t.Errorf("%s uses no metric", r.Alert)
		}
		if severity := r.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, severity)
		}
		for _, name := range []string{"summary", "description", "action"} {
			text := r.Annotations[name]
			if len(text) < 20 {
				t.Errorf("%s: %s is %q", r.Alert, name, text)
			}
			for _, l := range annotationLabel.FindAllStringSubmatch(text, -1) {
				if !result[l[1]] {
					t.Errorf("%s: %s names the label %s, which the result has not", r.Alert, name, l[1])
				}
			}
			for _, expr := range quotedQuery.FindAllStringSubmatch(text, -1) {
				if _, _, wrong := check(all, expr[1]); len(wrong) > 0 {
					t.Errorf("%s: %s: %v", r.Alert, name, wrong)
				}
			}
		}
		for _, name := range namedMetric.FindAllString(strings.Join([]string{r.Annotations["description"], r.Annotations["action"]}, " "), -1) {
			if _, ok := all[name]; !ok && !strings.HasSuffix(name, "_bucket") {
				t.Errorf("%s names %s, which no service serves", r.Alert, name)
			}
		}
	}
}

// Queries and metrics that an annotation names.
var (
	quotedQuery = regexp.MustCompile("`((?:sum|count) by [^`]+)`")
	namedMetric = regexp.MustCompile(`\b(?:peerbus|process|go)_[a-z0-9_]+\b`)
)

// Alerts that an annotation or the text of another names are there.
func TestAlertsNameOneAnother(t *testing.T) {
	alerts := readAlerts(t)
	name := regexp.MustCompile(`\bPeerbus[A-Z]\w+`)
	for _, r := range alerts {
		for _, text := range r.Annotations {
			for _, other := range name.FindAllString(text, -1) {
				if !slices.ContainsFunc(alerts, func(o rulefmt.Rule) bool { return o.Alert == other }) {
					t.Errorf("%s names %s, which is no alert", r.Alert, other)
				}
			}
		}
	}
}

// trial is what an alert is tried on: series, a sample a minute. On trouble it is
// raised, and on what is well, or close to trouble, it is not.
type trial struct{ trouble, well string }

// The series are those of one process.
const who = `job="peerbus-runtime",instance="a:7490"`

var trials = map[string]trial{
	"PeerbusDown": {
		`up{W} 0x60`,
		`up{W} 1 1 0 1x60
		 up{job="node",instance="b"} 0x60`,
	},
	"PeerbusRestarts": {
		`process_start_time_seconds{W} 100x5 400x5 700x5 1000x45`,
		`process_start_time_seconds{W} 100x30 2000x30`,
	},
	"PeerbusManyGoroutines": {`go_goroutines{W} 25000x60`, `go_goroutines{W} 300x10 25000x10 300x40`},
	"PeerbusFileDescriptors": {
		`process_open_fds{W} 900x60
		 process_max_fds{W} 1024x60`,
		`process_open_fds{W} 700x60
		 process_max_fds{W} 1024x60`,
	},
	"PeerbusMixedVersions": {
		`peerbus_build_info{W,version="1"} 1x500
		 peerbus_build_info{job="peerbus-runtime",instance="b",version="2"} 1x500`,
		`peerbus_build_info{W,version="1"} 1x500
		 peerbus_build_info{job="peerbus-runtime",instance="b",version="1"} 1x500`,
	},
	"PeerbusMessagesFail": {
		`peerbus_bus_messages_total{W,direction="out",path="direct",outcome="delivered"} 0+60x60
		 peerbus_bus_messages_total{W,direction="out",path="direct",outcome="refused_5xx"} 0+3x60
		 peerbus_bus_messages_total{W,direction="out",path="relay",outcome="timed_out"} 0+3x60`,
		`peerbus_bus_messages_total{W,direction="out",path="direct",outcome="delivered"} 0+60x60
		 peerbus_bus_messages_total{W,direction="out",path="direct",outcome="accepted"} 0+60x60
		 peerbus_bus_messages_total{W,direction="out",path="direct",outcome="refused_5xx"} 0+1x60
		 peerbus_bus_messages_total{W,direction="out",path="direct",outcome="refused_4xx"} 0+60x60`,
	},
	"PeerbusMessagesRefused": {
		`peerbus_bus_messages_total{W,direction="out",path="none",outcome="refused_4xx"} 0+60x60
		 peerbus_bus_messages_total{W,direction="out",path="local",outcome="delivered"} 0+30x60`,
		`peerbus_bus_messages_total{W,direction="out",path="none",outcome="refused_4xx"} 0+30x60
		 peerbus_bus_messages_total{W,direction="out",path="local",outcome="delivered"} 0+60x60`,
	},
	"PeerbusListenerStuck": {`peerbus_bus_stuck_total{W} 0x5 1x60`, `peerbus_bus_stuck_total{W} 7x60`},
	"PeerbusQueueAlmostFull": {
		`peerbus_bus_queue_fullest_ratio{W,component="application"} 0.95x60`,
		`peerbus_bus_queue_fullest_ratio{W,component="application"} 0 1 1 0 0.5x60`,
	},
	"PeerbusFlowStands": {
		`peerbus_bus_flow_unsettled_bytes{W} 4096x60
		 peerbus_bus_messages_total{W,direction="out",path="relay",outcome="delivered"} 5x60
		 peerbus_bus_messages_total{W,direction="out",path="local",outcome="delivered"} 0+5x60`,
		`peerbus_bus_flow_unsettled_bytes{W} 4096x60
		 peerbus_bus_messages_total{W,direction="out",path="relay",outcome="delivered"} 0+1x60`,
	},
	"PeerbusRetransmissions": {
		`peerbus_bus_flow_retransmissions_total{W} 0+20x60
		 peerbus_bus_flow_sent_total{W,path="direct"} 0+90x60
		 peerbus_bus_flow_sent_total{W,path="relay"} 0+10x60`,
		`peerbus_bus_flow_retransmissions_total{W} 0+5x60
		 peerbus_bus_flow_sent_total{W,path="direct"} 0+100x60`,
	},
	"PeerbusNobodyLeads":  {`peerbus_registry_leads{W} 0x60`, `peerbus_registry_leads{W} 0 1x60`},
	"PeerbusRegistryAway": {`peerbus_bus_registry_connected{W} 0x60`, `peerbus_bus_registry_connected{W} 0 1 0 1x60`},
	"PeerbusResolveSlow": {
		`peerbus_registry_resolve_seconds_bucket{W,le="1"} 0+1x60
		 peerbus_registry_resolve_seconds_bucket{W,le="5"} 0+10x60
		 peerbus_registry_resolve_seconds_bucket{W,le="+Inf"} 0+10x60`,
		`peerbus_registry_resolve_seconds_bucket{W,le="1"} 0+99x60
		 peerbus_registry_resolve_seconds_bucket{W,le="5"} 0+100x60
		 peerbus_registry_resolve_seconds_bucket{W,le="+Inf"} 0+100x60`,
	},
	"PeerbusLookupsFail": {
		`peerbus_registry_lookups_total{W,outcome="no answer"} 0+3x60
		 peerbus_registry_lookups_total{W,outcome="found"} 0+6x60`,
		`peerbus_registry_lookups_total{W,outcome="no answer"} 0+1x60
		 peerbus_registry_lookups_total{W,outcome="missing"} 0+9x60`,
	},
	"PeerbusStoreAway":   {`peerbus_store_connected{W} 0x60`, `peerbus_store_connected{W} 0 1x60`},
	"PeerbusStoreSilent": {`peerbus_msgnode_store_away_seconds{W} 0 30+60x60`, `peerbus_msgnode_store_away_seconds{W} 1x10 20 1x50`},
	"PeerbusStoreErrors": {`peerbus_registry_store_errors_total{W} 0x5 3x60`, `peerbus_registry_store_errors_total{W} 3x60`},
	"PeerbusSetUpsFail": {
		`peerbus_p2pstub_setups_total{W,role="requester",result="failed"} 0+3x60
		 peerbus_p2pstub_setups_total{W,role="requester",result="live"} 0+1x60`,
		`peerbus_p2pstub_setups_total{W,role="requester",result="failed"} 0+1x60
		 peerbus_p2pstub_setups_total{W,role="requester",result="live"} 0+3x60
		 peerbus_p2pstub_setups_total{W,role="handler",result="failed"} 0+9x60`,
	},
	"PeerbusSetUpsSlow": {
		`peerbus_p2pstub_setup_phase_seconds_bucket{W,role="requester",phase="ice",le="2.5"} 0x60
		 peerbus_p2pstub_setup_phase_seconds_bucket{W,role="requester",phase="ice",le="5"} 0+2x60
		 peerbus_p2pstub_setup_phase_seconds_bucket{W,role="requester",phase="ice",le="+Inf"} 0+2x60
		 peerbus_p2pstub_setups_total{W,role="requester",result="live"} 0+2x60`,
		`peerbus_p2pstub_setup_phase_seconds_bucket{W,role="requester",phase="ice",le="2.5"} 0+2x60
		 peerbus_p2pstub_setup_phase_seconds_bucket{W,role="requester",phase="ice",le="5"} 0+2x60
		 peerbus_p2pstub_setup_phase_seconds_bucket{W,role="requester",phase="ice",le="+Inf"} 0+2x60
		 peerbus_p2pstub_setups_total{W,role="requester",result="live"} 0+2x60`,
	},
	"PeerbusMostlyRelayed": {
		`peerbus_registry_path_connections{W,path="relay"} 6x60
		 peerbus_registry_path_connections{W,path="direct"} 2x60
		 peerbus_registry_path_connections{W,path="both"} 0x60`,
		`peerbus_registry_path_connections{W,path="relay"} 2x60
		 peerbus_registry_path_connections{W,path="direct"} 1x60`,
	},
	"PeerbusConnectionsDisconnected": {
		`peerbus_registry_connections{W,state="disconnected"} 1x60`,
		`peerbus_registry_connections{W,state="disconnected"} 1x10 0x50
		 peerbus_registry_connections{W,state="live"} 3x60`,
	},
	"PeerbusPathsFlap": {
		`peerbus_p2pstub_doubts_total{W} 0+6x60
		 peerbus_p2pstub_peers{W,role="handler",state="live"} 3x60`,
		`peerbus_p2pstub_doubts_total{W} 0+2x60
		 peerbus_p2pstub_peers{W,role="handler",state="live"} 3x60`,
	},
	"PeerbusUDPDropped":    {`peerbus_p2pstub_udp_dropped_total{W} 0+1200x60`, `peerbus_p2pstub_udp_dropped_total{W} 0+60x60`},
	"PeerbusIllegalEvents": {`peerbus_registry_illegal_events_total{W,state="live",event="reported"} 0+1x60`, `peerbus_registry_illegal_events_total{W,state="live",event="reported"} 0x5 2x60`},
	"PeerbusNoSession": {
		`peerbus_nodestub_sessions{W,state="live"} 0x60
		 peerbus_nodestub_sessions{W,state="connecting"} 1x60`,
		`peerbus_nodestub_sessions{W,state="live"} 0x60
		 peerbus_nodestub_sessions{W,state="connecting"} 0x60`,
	},
	"PeerbusNodeQueueGrows": {`peerbus_nodestub_queue_messages{W} 600x60`, `peerbus_nodestub_queue_messages{W} 0 900 900 0x60`},
	"PeerbusMessageNodeDrops": {
		`peerbus_msgnode_dropped_total{W,reason="full"} 0+60x60`,
		`peerbus_msgnode_dropped_total{W,reason="closed"} 0+60x60
		 peerbus_msgnode_dropped_total{W,reason="full"} 0+1x60`,
	},
	"PeerbusMailboxesFill": {`peerbus_msgnode_mailbox_bytes{W} 250000000x60`, `peerbus_msgnode_mailbox_bytes{W} 100000000x60`},
	"PeerbusMessageNodeRefuses": {
		`peerbus_msgnode_refused_total{W,step="deliver",code="429"} 0+30x60
		 peerbus_msgnode_received_total{W,transport="grpc"} 0+100x60`,
		`peerbus_msgnode_refused_total{W,step="decide",code="404"} 0+30x60
		 peerbus_msgnode_refused_total{W,step="deliver",code="429"} 0+1x60
		 peerbus_msgnode_received_total{W,transport="grpc"} 0+100x60`,
	},
	"PeerbusSessionsLost": {
		`peerbus_msgnode_session_events_total{W,outcome="lost"} 0+20x60
		 peerbus_msgnode_sessions{W} 100x60`,
		`peerbus_msgnode_session_events_total{W,outcome="lost"} 0+20x60
		 peerbus_msgnode_sessions{W} 10000x60`,
	},
	"PeerbusGatewayErrors": {
		`peerbus_gateway_requests_total{W,route="POST /v1/messages",code="503"} 0+10x60
		 peerbus_gateway_requests_total{W,route="POST /v1/messages",code="200"} 0+60x60`,
		`peerbus_gateway_requests_total{W,route="POST /v1/messages",code="404"} 0+60x60
		 peerbus_gateway_requests_total{W,route="POST /v1/messages",code="200"} 0+60x60`,
	},
	"PeerbusGatewayGaps": {`peerbus_gateway_gaps_total{W} 0x5 1x60`, `peerbus_gateway_gaps_total{W} 1x60`},
}

// Each alert is raised by the trouble that it is for, after its time and not before,
// with its annotations filled in; and not by what is well.
func TestAlertsAreRaised(t *testing.T) {
	alerts := readAlerts(t)
	for _, r := range alerts {
		tr, ok := trials[r.Alert]
		if !ok {
			t.Errorf("%s is not tried", r.Alert)
			continue
		}
		t.Run(r.Alert, func(t *testing.T) {
			all := metrics(t)
			for _, series := range []string{tr.trouble, tr.well} {
				checkSeries(t, all, series)
			}
			since, alert := raised(t, r, tr.trouble)
			if alert == nil {
				t.Fatal("not raised")
			}
			if since < time.Duration(r.For) {
				t.Errorf("raised after %v", since)
			}
			for _, l := range []string{"summary", "description", "action"} {
				if text := alert.Annotations.Get(l); text == "" || strings.Contains(text, "{{") || strings.Contains(text, "<error expanding") || strings.Contains(text, "<no value>") {
					t.Errorf("%s is %q", l, text)
				}
			}
			if _, alert := raised(t, r, tr.well); alert != nil {
				t.Errorf("raised where all is well: %s", alert.Annotations.Get("summary"))
			}
		})
	}
	if len(trials) != len(alerts) {
		t.Errorf("%d trials of %d alerts", len(trials), len(alerts))
	}
}

// raised evaluates a rule each minute, as Prometheus does, and gives the time after
// which it was raised first; nil when it never was.
func raised(t *testing.T, r rulefmt.Rule, series string) (time.Duration, *rules.Alert) {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n"+indent(strings.ReplaceAll(series, "W", who)))
	defer func() { _ = storage.Close() }()
	engine := promqltest.NewTestEngineWithOpts(t, promql.EngineOpts{MaxSamples: 1 << 20, Timeout: time.Minute})
	expr, err := promQL.ParseExpr(r.Expr)
	if err != nil {
		t.Fatal(err)
	}
	rule := rules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), 0,
		labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	query := rules.EngineQueryFunc(engine, storage)
	for after := time.Duration(0); after <= time.Duration(r.For)+time.Hour; after += time.Minute {
		if _, err := rule.Eval(t.Context(), 0, time.Unix(0, 0).Add(after), query, &url.URL{}, 0); err != nil {
			t.Fatal(err)
		}
		for _, a := range rule.ActiveAlerts() {
			if a.State == rules.StateFiring {
				return after, a
			}
		}
	}
	return 0, nil
}

// indent brings series into the form that the engine's tests take.
func indent(series string) string {
	var b strings.Builder
	for line := range strings.Lines(series) {
		b.WriteString("  " + strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// checkSeries wants the series of a trial to be such as the services serve.
func checkSeries(t *testing.T, all map[string]*metric, series string) {
	t.Helper()
	for line := range strings.Lines(series) {
		selector, _, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || strings.HasPrefix(selector, "up{") {
			continue
		}
		if strings.HasPrefix(selector, "peerbus_build_info") {
			continue // its version is another each time
		}
		if _, _, wrong := check(all, strings.ReplaceAll(selector, "W", who)+"}"); len(wrong) > 0 {
			t.Errorf("%s: %v", selector, wrong)
		}
	}
}
