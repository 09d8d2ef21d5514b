package msgnode

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, url string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
	return w
}

func TestDescriptor(t *testing.T) {
	for _, tc := range []struct {
		name, url         string
		change            option
		webSocket, remote string
	}{
		{"from the host that was asked", "http://node.a.example:7480", nil, "ws://node.a.example:7480/ws", "node.a.example:7400"},
		{"with TLS", "https://node.a.example", nil, "wss://node.a.example/ws", "node.a.example:7400"},
		{"IPv6", "http://[::1]:7480", nil, "ws://[::1]:7480/ws", "[::1]:7400"},
		{"given", "http://x", func(c *Config) { c.WebSocketURL, c.GRPCEndpoints = "wss://n/ws", []string{"n:1"} }, "wss://n/ws", "n:1"},
		{"replicas", "http://x", func(c *Config) { c.GRPCEndpoints = []string{"n:1", "n:2", "n:3"} }, "ws://x/ws", "n:1 n:2 n:3"},
		{"without gRPC", "http://x", func(c *Config) { c.GRPCAddr = "" }, "ws://x/ws", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := openEngine(t, "")
			defer e.Close()
			cfg := Config{Domain: domain, Engine: e, GRPCAddr: "0.0.0.0:7400"}
			if tc.change != nil {
				tc.change(&cfg)
			}
			n, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			w := get(t, n.Handler(), tc.url+DescriptorPath)
			var d Descriptor
			if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
				t.Fatal(err)
			}
			c := d.Configuration
			if c.URL != tc.webSocket || strings.Join(append([]string{c.GRPC}, c.Replicas...), " ") != tc.remote || c.Domain != domain {
				t.Errorf("%+v", c)
			}
			if d.GUID == "" || d.Version == "" || d.ObjectName == "" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%+v %v", d, w.Header())
			}
		})
	}
}

func TestHealthAndMetrics(t *testing.T) {
	b := start(t)
	b.dial(t, "grpc").open()
	if w := get(t, b.node.Handler(), "http://x/readyz"); w.Code != 200 {
		t.Errorf("/readyz: %d %s", w.Code, w.Body)
	}
	metrics := get(t, b.node.Handler(), "http://x/metrics").Body.String()
	for _, line := range []string{
		`peerbus_msgnode_sockets{transport="grpc"} 1`, "peerbus_msgnode_sessions 1", "peerbus_msgnode_addresses 1",
		`peerbus_msgnode_session_events_total{outcome="opened"} 1`,
		// A rate needs the zero that a counter begins with.
		`peerbus_msgnode_session_events_total{outcome="expired"} 0`, `peerbus_msgnode_dropped_total{reason="full"} 0`,
		`peerbus_msgnode_refused_total{code="429",step="deliver"} 0`, `peerbus_msgnode_sent_total{transport="websocket"} 0`,
		"peerbus_msgnode_relayed_bytes_total 0", "peerbus_msgnode_queue_messages 0",
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("/metrics has no %s", line)
		}
	}
	b.stop()
	if w := get(t, b.node.Handler(), "http://x/readyz"); w.Code != 503 {
		t.Errorf("/readyz of a stopped node: %d", w.Code)
	}
	if w := get(t, b.node.Handler(), "http://x/healthz"); w.Code != 200 {
		t.Errorf("/healthz of a stopped node: %d", w.Code)
	}
	if w := get(t, b.node.Handler(), "http://x/ws"); w.Code != 503 {
		t.Errorf("/ws of a stopped node: %d", w.Code)
	}
}

func TestNewRefuses(t *testing.T) {
	e := openEngine(t, "")
	defer e.Close()
	for name, cfg := range map[string]Config{
		"no engine":     {Domain: domain},
		"no domain":     {Engine: e},
		"a bad domain":  {Engine: e, Domain: "a b"},
		"an odd domain": {Engine: e, Domain: ".a"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
