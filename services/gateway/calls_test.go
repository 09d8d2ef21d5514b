package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
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

// Each path and method of /openapi.json is served, and what is served is in it.
func TestTheDescriptionIsWhatIsServed(t *testing.T) {
	d := newDoor(t, impatient())
	var doc description
	if err := json.Unmarshal([]byte(d.read(d.ask(http.MethodGet, "/openapi.json", ""))), &doc); err != nil {
		t.Fatal(err)
	}
	table, err := d.table()
	if err != nil {
		t.Fatal(err)
	}
	for path, m := range table {
		for method := range m {
			o := doc.Paths[path][strings.ToLower(method)]
			if o["summary"] == nil || o["responses"].(map[string]any)["default"] == nil {
				t.Errorf("%s %s is served, and not described: %v", method, path, o)
			}
		}
	}
	for path, operations := range doc.Paths {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} {
			d.isServed(path, method, operations[strings.ToLower(method)] != nil)
		}
	}
	whole, err := described()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range regexp.MustCompile(`"#/definitions/(\w+)"`).FindAllStringSubmatch(string(whole), -1) {
		if doc.Definitions[ref[1]] == nil {
			t.Errorf("there is no definition %s", ref[1])
		}
	}
}

// isServed asks for a path with a parameter that there is not, so that nothing begins.
func (d *door) isServed(path, method string, described bool) {
	d.t.Helper()
	at := strings.Replace(path, "{connection}", "c-1", 1)
	resp := d.ask(method, at+"?none=1", "")
	defer func() { _ = resp.Body.Close() }()
	routed := resp.StatusCode != http.StatusMethodNotAllowed && resp.StatusCode != http.StatusNotFound
	if routed != described {
		d.t.Errorf("%s %s: %d, and it is described: %v", method, path, resp.StatusCode, described)
	}
	if !routed {
		if e := d.refusal(resp); e.Field != "method" || !strings.Contains(resp.Header.Get("Allow"), "OPTIONS") {
			d.t.Errorf("%s %s: %+v, Allow %q", method, path, e, resp.Header.Get("Allow"))
		}
	}
}

func TestCallsOfTheRegistry(t *testing.T) {
	d := newDoor(t, impatient())
	hyperty := &pb.Registration{Url: alice, Kind: pb.RegistrationKind_REGISTRATION_KIND_HYPERTY, User: "user://a.example/alice"}
	object := &pb.Registration{Scheme: "comm", Kind: pb.RegistrationKind_REGISTRATION_KIND_DATA_OBJECT}
	const register = `{"url":"hyperty://a.example/alice","user":"user://a.example/alice"}`
	remote := url.QueryEscape(runtimeURL)
	for _, tc := range []struct {
		method, path, body string
		asked              proto.Message
		want               string
	}{
		{"GET", "/v1/runtime", "", &pb.GetRuntimeRequest{}, `"runtime_url":"` + runtimeURL},
		{"GET", "/v1/resolve?address=" + bob + "&p2p=true", "", &pb.ResolveRequest{Address: bob, P2P: true}, `"reason":"ROUTE_REASON_SIGNALLING"`},
		{"POST", "/v1/hyperties", register, &pb.RegisterRequest{Registration: hyperty}, `"registration":{"url":"` + alice},
		{"POST", "/v1/dataobjects", `{"scheme":"comm"}`, &pb.RegisterRequest{Registration: object}, `"scheme":"comm"`},
		{"GET", "/v1/hyperties", "", &pb.ListRegistrationsRequest{Kind: pb.RegistrationKind_REGISTRATION_KIND_HYPERTY}, `"registrations":[]`},
		{"GET", "/v1/dataobjects", "", &pb.ListRegistrationsRequest{Kind: pb.RegistrationKind_REGISTRATION_KIND_DATA_OBJECT}, `"registrations":[]`},
		{"DELETE", "/v1/hyperties?url=" + alice, "", &pb.UnregisterRequest{Url: alice}, `{}`},
		{"DELETE", "/v1/dataobjects?url=" + alice, "", &pb.UnregisterRequest{Url: alice}, `{}`},
		{"GET", "/v1/connections", "", &pb.ListConnectionsRequest{}, `"connections":[]`},
		{"POST", "/v1/connections", `{"address":"` + bob + `"}`, &pb.ConnectRequest{Address: bob}, `"id":"c-1"`},
		{"DELETE", "/v1/connections?connection=" + remote, "", &pb.DisconnectRequest{Connection: runtimeURL}, `{}`},
		{"DELETE", "/v1/connections/c-1", "", &pb.DisconnectRequest{Connection: "c-1"}, `{}`},
		{"GET", "/v1/connections/c-1", "", &pb.GetConnectionRequest{Connection: "c-1"}, `"id":"c-1"`},
		{"GET", "/v1/connections/" + remote, "", &pb.GetConnectionRequest{Connection: runtimeURL}, `"id":"` + runtimeURL},
	} {
		resp := d.ask(tc.method, tc.path, tc.body)
		text := strings.ReplaceAll(d.read(resp), " ", "")
		if resp.StatusCode != 200 || !strings.Contains(text, tc.want) || !proto.Equal(d.registry.last(), tc.asked) {
			t.Errorf("%s %s: %d %s, and the registry was asked %v", tc.method, tc.path, resp.StatusCode, text, d.registry.last())
		}
	}
}

func TestPages(t *testing.T) {
	d := newDoor(t, impatient())
	for path, want := range map[string]string{
		"/healthz": "ok", "/metrics": "ok", "/readyz": "ok", "/docs/": "swagger", "/docs": "", "/web/peerbus.js": "export function connect",
	} {
		resp := d.ask(http.MethodGet, path, "")
		if text := d.read(resp); resp.StatusCode >= 400 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %.100s", path, resp.StatusCode, text)
		}
		head := d.ask(http.MethodHead, path, "")
		if text := d.read(head); head.StatusCode != resp.StatusCode || text != "" {
			t.Errorf("HEAD %s: %d %q", path, head.StatusCode, text)
		}
	}
	options := d.ask(http.MethodOptions, "/v1/messages", "")
	if d.read(options); options.StatusCode != http.StatusNoContent || options.Header.Get("Allow") != "GET, OPTIONS, POST" {
		t.Errorf("OPTIONS: %d, %v", options.StatusCode, options.Header)
	}
}

// A gateway is ready while its bus answers, whatever the runtime lacks.
func TestReadiness(t *testing.T) {
	d := newDoor(t, impatient())
	d.registry.mu.Lock()
	d.registry.lacks = "bus" // so it says
	d.registry.mu.Unlock()
	if resp := d.ask(http.MethodGet, "/readyz", ""); resp.StatusCode != 200 || d.read(resp) != "ok\n" {
		t.Errorf("with a runtime that lacks something: %d", resp.StatusCode)
	}
	d.server.Leave()
	if e := d.refusal(d.ask(http.MethodGet, "/readyz", "")); e.Code != 503 || !strings.Contains(e.Description, "the bus is stopping") {
		t.Errorf("with a bus that stops: %+v", e)
	}
	d.server.Stop()
	if e := d.refusal(d.ask(http.MethodGet, "/readyz", "")); e.Code != 503 || !strings.Contains(e.Description, "the bus does not answer") {
		t.Errorf("without a bus: %+v", e)
	}
}

// Every mistake has its status, and names its field.
func TestRefusals(t *testing.T) {
	d := newDoor(t, Limits{Body: 1000, Addresses: 2})
	const message = `{"type":"ping","from":"` + alice + `","to":"` + bob + `"}`
	for _, tc := range []struct {
		method, path, body, header string
		code                       int
		field                      string
	}{
		{"GET", "/nothing", "", "", 404, "path"},
		{"GET", "//v1/runtime", "", "", 404, "path"},
		{"GET", "/v1/connections/a/b", "", "", 404, "path"},
		{"GET", "/v1/connections/none", "", "", 404, "connection"},
		{"GET", "/docs/nothing.js", "", "", 404, "path"},
		{"GET", "/v1/resolve", "", "", 400, "address"},
		{"GET", "/v1/resolve?address=x&p2p=maybe", "", "", 400, "p2p"},
		{"GET", "/v1/resolve?address=x&address=y", "", "", 400, "address"},
		{"GET", "/v1/resolve?adress=x", "", "", 400, "adress"},
		{"GET", "/v1/hyperties?kind=REGISTRATION_KIND_DATA_OBJECT", "", "", 400, "kind"},
		{"GET", "/v1/hyperties?kind=X", "", "", 400, "kind"},
		{"POST", "/v1/hyperties", `{"kind":"REGISTRATION_KIND_DATA_OBJECT"}`, "", 400, "kind"},
		{"POST", "/v1/hyperties", `{"urll":"x"}`, "", 400, "urll"},
		{"POST", "/v1/hyperties", `{"url":5}`, "", 400, "url"},
		{"POST", "/v1/hyperties", `{"url":"x"} y`, "", 400, "body"},
		{"POST", "/v1/hyperties", `{"user":"` + strings.Repeat("x", 1000) + `"}`, "", 413, "body"},
		{"POST", "/v1/messages", message + strings.Repeat(" ", 1000), "", 413, "body"},
		{"POST", "/v1/messages", "[]", "", 400, "message"},
		{"POST", "/v1/messages", message, "Content-Encoding: gzip", 415, "Content-Encoding"},
		{"POST", "/v1/messages", message, "Content-Type: ///", 400, "Content-Type"},
		{"POST", "/v1/messages?wait=long", message, "", 400, "wait"},
		{"POST", "/v1/messages?timeout=soon", message, "", 400, "timeout"},
		{"POST", "/v1/messages?timeout=-1s", message, "", 400, "timeout"},
		{"POST", "/v1/messages?timeout=11m", message, "", 400, "timeout"},
		{"POST", "/v1/messages?to=x", message, "", 400, "to"},
		{"POST", "/v1/messages?wait=delivered&wait=response", message, "", 400, "wait"},
		{"POST", "/v1/messages", `{"type":"ping","to":"x","boddy":{}}`, "", 400, "boddy"},
		{"POST", "/v1/messages", `{"type":"ping","to":"x","flow":{"runtime":"x"}}`, "", 400, "flow"},
		{"POST", "/v1/messages?to=x&p2p=perhaps", "content", "Content-Type: image/png", 400, "p2p"},
		{"GET", "/v1/messages", "", "", 400, "address"},
		{"GET", "/v1/messages?address=%ff", "", "", 400, "address"},
		{"GET", "/v1/resolve?address=%ff", "", "", 400, "address"},
		{"GET", "/v1/connections/%ff", "", "", 400, "connection"},
		{"DELETE", "/v1/connections/%ff", "", "", 400, "connection"},
		{"POST", "/v1/messages?to=%ff", "content", "Content-Type: image/png", 400, "to"},
		{"POST", "/v1/messages?to=x&id=%ff", "content", "Content-Type: image/png", 400, "id"},
		{"POST", "/v1/messages?to=x", "content", "Content-Type: image/png; q=\"\xff\"", 400, "Content-Type"},
		{"POST", "/v1/messages", message, "Idempotency-Key: \xff", 400, "Idempotency-Key"},
		{"GET", "/v1/messages?address=", "", "", 400, "address"},
		{"GET", "/v1/messages?address=*", "", "", 400, "address"},
		{"GET", "/v1/messages?address=a&address=b&address=c", "", "", 413, "address"},
		{"GET", "/v1/messages?address=" + strings.Repeat("x", 5000), "", "", 400, "address"},
		{"GET", "/v1/messages?addresses=a", "", "", 400, "addresses"},
		{"GET", "/v1/messages?address=a", "", "Accept: text/html", 406, "Accept"},
		{"GET", "/v1/messages?address=a", "", "Accept: text/event-stream;q=0", 200, ""},
		{"GET", "/v1/messages?address=refused", "", "", 403, ""},
		{"GET", "/v1/connections:watch?x=1", "", "", 400, "x"},
		{"GET", "/v1/connections:watch", "", "Accept: image/png", 406, "Accept"},
		{"GET", "/ws", "", "", 426, "Upgrade"},
	} {
		headers := []string{}
		if tc.header != "" {
			headers = append(headers, tc.header)
		}
		resp := d.ask(tc.method, tc.path, tc.body, headers...)
		if tc.code == 200 {
			_ = resp.Body.Close()
			continue
		}
		if e := d.refusal(resp); e.Code != tc.code || e.Field != tc.field {
			t.Errorf("%s %.80s %.60s %s: %+v; want %d of %q", tc.method, tc.path, tc.body, tc.header, e, tc.code, tc.field)
		}
	}
	if n := d.metric("peerbus_gateway_requests_total", "route=none"); n != 3 {
		t.Errorf("%v requests for nothing are counted", n)
	}
}

// What is over the bound of a message is refused as that where it is over the bound of a
// call as well, which gRPC would refuse in its own words.
func TestPostsThatAreTooLarge(t *testing.T) {
	d := newDoor(t, impatient())
	content := strings.Repeat("x", rpc.MaxFrame)
	natural := `{"id":1,"type":"ping","to":"` + bob + `","body":{"value":"` + content + `"}}`
	if e := d.refusal(d.ask(http.MethodPost, "/v1/messages", natural)); e.Code != 413 || e.Field != "body" {
		t.Errorf("%+v", e)
	}
	resp := d.ask(http.MethodPost, "/v1/messages?to="+bob, content, "Content-Type: image/png")
	if e := d.refusal(resp); e.Code != 413 || e.Field != "resource" {
		t.Errorf("content: %+v", e)
	}
	if a := d.visit().call(`{"op":"post","message":%s,"key":"k","ref":1}`, natural); a.Code != 413 || a.Field != "body" {
		t.Errorf("over a socket: %+v", a)
	}
}

func TestFeedOfConnections(t *testing.T) {
	d := newDoor(t, Limits{Feeds: 1})
	s := d.events("/v1/connections")
	if e := s.next(); e.kind != "connections" || !strings.Contains(strings.ReplaceAll(e.data, " ", ""), `{"connections":[],"removed":[]}`) {
		t.Errorf("%+v", e)
	}
	if e := d.refusal(d.ask(http.MethodGet, "/v1/connections:watch", "")); e.Code != 429 {
		t.Errorf("a second feed: %+v", e)
	}
	d.registry.changes <- &pb.WatchConnectionsResponse{Connections: []*pb.Connection{{Id: "c-1", State: pb.ConnectionState_CONNECTION_STATE_LIVE}}}
	if e := s.next(); !strings.Contains(e.data, "CONNECTION_STATE_LIVE") {
		t.Errorf("%+v", e)
	}
	close(d.registry.changes)
	if e := s.next(); e.kind != "end" {
		t.Errorf("without a registry: %+v", e)
	}
	if n := d.metric("peerbus_gateway_request_seconds", "route=GET /v1/connections"); n != 0 {
		t.Errorf("the stream is in the histogram")
	}
}
