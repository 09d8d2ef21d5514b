package gateway

import (
	"net/http"
	"strings"
	"testing"
)

// Who may use a gateway on loopback.
func TestGuard(t *testing.T) {
	plain := newDoor(t, impatient())
	listed := newDoor(t, impatient(), "https://app.example")
	open := newDoor(t, impatient(), "*")
	for _, tc := range []struct {
		d       *door
		path    string
		headers []string
		field   string // "" is let through
	}{
		{plain, "/v1/runtime", nil, ""},
		{plain, "/v1/runtime", []string{"Host: localhost:7490"}, ""},
		{plain, "/v1/runtime", []string{"Host: tab.localhost"}, ""},
		{plain, "/v1/runtime", []string{"Host: [::1]:7490"}, ""},
		{plain, "/v1/runtime", []string{"Host: rebound.example:7490"}, "Host"},
		{plain, "/v1/runtime", []string{"Host: rebound.example", "Origin: http://rebound.example"}, "Host"},
		{plain, "/v1/runtime", []string{"Host: localhost.rebound.example"}, "Host"},
		{plain, "/v1/runtime", []string{"Origin: " + plain.url, "Sec-Fetch-Site: same-origin"}, ""},
		{plain, "/v1/runtime", []string{"Origin: http://127.0.0.1:1"}, "Origin"},
		{plain, "/v1/runtime", []string{"Origin: https://app.example"}, "Origin"},
		{plain, "/v1/runtime", []string{"Origin: null"}, "Origin"},
		{plain, "/ws", []string{"Origin: https://app.example", "Connection: Upgrade", "Upgrade: websocket"}, "Origin"},
		{plain, "/v1/messages?address=x", []string{"Sec-Fetch-Site: cross-site"}, "Origin"},
		{plain, "/v1/messages?address=x", []string{"Sec-Fetch-Site: same-site"}, "Origin"},
		{plain, "/v1/messages?address=x", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, "Origin"},
		{plain, "/docs/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, ""},
		{plain, "/docs/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, "Origin"},
		{plain, "/v1/runtime", []string{"Sec-Fetch-Site: none"}, ""},
		{listed, "/v1/runtime", []string{"Origin: https://app.example", "Sec-Fetch-Site: cross-site"}, ""},
		{listed, "/v1/runtime", []string{"Host: app.example"}, ""},
		{listed, "/v1/runtime", []string{"Origin: http://app.example"}, "Origin"},
		{listed, "/v1/runtime", []string{"Origin: https://app.example.evil"}, "Origin"},
		{open, "/v1/runtime", []string{"Origin: https://any.example"}, ""},
		{open, "/v1/runtime", []string{"Host: any.example"}, ""},
	} {
		resp := tc.d.ask(http.MethodGet, tc.path, "", tc.headers...)
		if tc.field == "" {
			if tc.d.read(resp); resp.StatusCode != 200 {
				t.Errorf("%s %v: %d", tc.path, tc.headers, resp.StatusCode)
			}
			continue
		}
		if e := tc.d.refusal(resp); e.Code != 403 || e.Field != tc.field {
			t.Errorf("%s %v: %+v", tc.path, tc.headers, e)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %v may be read", tc.path, tc.headers)
		}
	}
}

func TestPreflight(t *testing.T) {
	d := newDoor(t, impatient(), "https://app.example")
	resp := d.ask(http.MethodOptions, "/v1/messages", "", "Origin: https://app.example", "Access-Control-Request-Method: POST")
	d.read(resp)
	h := resp.Header
	if resp.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Last-Event-ID") || h.Get("Vary") != "Origin" {
		t.Errorf("%d %v", resp.StatusCode, h)
	}
	if e := d.refusal(d.ask(http.MethodOptions, "/v1/messages", "", "Origin: https://evil.example", "Access-Control-Request-Method: POST")); e.Code != 403 {
		t.Errorf("%+v", e)
	}
}

func TestOriginsThatAreNone(t *testing.T) {
	for _, o := range []string{"", "app.example", "https://", "https://app.example/", "https://app.example/path", "null"} {
		if _, err := New(Config{Bus: plainConn{}, Registry: plainConn{}, Origins: []string{o}}); err == nil {
			t.Errorf("%q is taken for an origin", o)
		}
	}
}
