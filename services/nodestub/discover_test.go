package nodestub

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/fault"
)

func TestParseDescriptor(t *testing.T) {
	for text, want := range map[string]string{
		`{"configuration":{"url":"wss://n.example/ws"}}`:                            "[wss://n.example/ws]",
		`{"configuration":{"url":"ws://n.example/ws","grpc":"n.example:7400"}}`:     "[grpc://n.example:7400 ws://n.example/ws]",
		`{"configuration":"{\"url\":\"wss://n.example/ws\"}","objectName":"other"}`: "[wss://n.example/ws]",
		`{"configuration":{"url":"WSS://n.example/ws","grpc":"n.example"}}`:         "[wss://n.example/ws]",
		`{"configuration":{"grpc":"[::1]:7400"}}`:                                   "[grpc://[::1]:7400]",
		`{"configuration":{"grpc":"a:1","replicas":["b:1","c","d:2"]}}`:             "[grpc://a:1 grpc://b:1 grpc://d:2]",
		``:                       "not a JSON object",
		`[]`:                     "not a JSON object",
		`{}`:                     "no configuration",
		`{"configuration":""}`:   "no configuration",
		`{"configuration":{}}`:   "neither url nor grpc",
		`{"configuration":null}`: "no configuration",
		`{"configuration":7}`:    "configuration:",
		`{"configuration":"x"}`:  "configuration:",
		`{"configuration":{"url":"http://n.example/ws"}}`: "no WebSocket URL",
		`{"configuration":{"url":"wss:///ws"}}`:           "no WebSocket URL",
		`{"configuration":{"url":"::"}}`:                  "no WebSocket URL",
		`{"configuration":{"grpc":"n.example"}}`:          "not host:port",
		`{"configuration":{"grpc":":7400"}}`:              "not host:port",
	} {
		got, err := parseDescriptor([]byte(text))
		if err != nil {
			if fault.CodeOf(err) != fault.BadRequest || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", text, err, want)
			}
		} else if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}

func FuzzParseDescriptor(f *testing.F) {
	f.Add([]byte(`{"configuration":{"url":"ws://n.example/ws","grpc":"n.example:7400"}}`))
	f.Add([]byte(`{"configuration":{"grpc":"a:1","replicas":["b:1",""]}}`))
	f.Add([]byte(`{"configuration":"{\"url\":\"wss://n.example/ws\"}"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		endpoints, err := parseDescriptor(text)
		if (err == nil) == (len(endpoints) == 0) {
			t.Errorf("%q gave %v, %v", text, endpoints, err)
		}
		for _, e := range endpoints {
			if (e.grpc == "") == (e.websocket == "") {
				t.Errorf("%q gave an endpoint of both kinds, or none: %+v", text, e)
			}
		}
	})
}

func TestCheckDomain(t *testing.T) {
	for domain, ok := range map[string]bool{
		"a.example": true, "a.example:8443": true, "localhost": true, "127.0.0.1:80": true, "[::1]:80": true,
		"": false, "a/b": false, "u@a": false, "a?b": false, "a#b": false, ":80": false, "a b": false, "::1": false,
		strings.Repeat("a", 256): false,
	} {
		if err := checkDomain(domain); (err == nil) != ok {
			t.Errorf("%q: %v", domain, err)
		}
	}
}

// site is a finder whose requests end at a handler; the hosts asked for are
// noted as scheme://host.
func site(t *testing.T, allowPlain bool, h http.HandlerFunc) (*finder, *[]string) {
	t.Helper()
	var asked []string
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.Scheme+"://"+r.URL.Host)
		rec := httptest.NewRecorder()
		if h(rec, r); rec.Code == http.StatusTeapot {
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		}
		resp := rec.Result()
		resp.Request = r
		return resp, nil
	})}
	cfg := Config{HTTPClient: client, AllowPlain: allowPlain, Nodes: map[string][]string{"given.example": {"192.0.2.1:1"}}}.orDefaults()
	return newFinder(cfg, false), &asked
}

const secure = `{"configuration":{"url":"wss://n.example/ws"}}`

func onlyHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Scheme == "https" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	_, _ = w.Write([]byte(secure))
}

func TestFindLooksWhereItMay(t *testing.T) {
	for _, c := range []struct {
		domain string
		plain  bool
		code   fault.Code
		asked  []string
	}{
		{"given.example", false, fault.OK, nil},
		{"a.example", false, fault.Unavailable, []string{"https://a.example"}},
		{"a.example:8080", false, fault.Unavailable, []string{"https://a.example:8080"}},
		{"a.example", true, fault.OK, []string{"https://a.example", "http://a.example"}},
		{"localhost:8080", false, fault.OK, []string{"https://localhost:8080", "http://localhost:8080"}},
		{"127.0.0.1:8080", false, fault.OK, []string{"https://127.0.0.1:8080", "http://127.0.0.1:8080"}},
		{"[::1]:8080", false, fault.OK, []string{"https://[::1]:8080", "http://[::1]:8080"}},
		{"localhost.a.example", false, fault.Unavailable, []string{"https://localhost.a.example"}},
	} {
		f, asked := site(t, c.plain, onlyHTTP)
		_, err := f.find(t.Context(), c.domain)
		if fault.CodeOf(err) != c.code || !slices.Equal(*asked, c.asked) {
			t.Errorf("%s: %v, asked %v", c.domain, err, *asked)
		}
	}
}

func TestFindTellsWhatIsNotThereFromWhatCannotBeReached(t *testing.T) {
	for name, c := range map[string]struct {
		code fault.Code
		h    http.HandlerFunc
	}{
		"a descriptor": {fault.OK, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(secure)) }},
		"none":         {fault.NotFound, http.NotFound},
		"gone":         {fault.NotFound, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }},
		"trouble":      {fault.Unavailable, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }},
		"refused":      {fault.Unavailable, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }},
		"rubbish":      {fault.Unavailable, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }},
		"too large":    {fault.Unavailable, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 64<<10+1)) }},
		"a plain endpoint": {fault.Unavailable, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Replace(secure, "wss", "ws", 1)))
		}},
		"a way out of https": {fault.Unavailable, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://a.example/", http.StatusFound)
		}},
		"a loop": {fault.Unavailable, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://a.example/", http.StatusFound)
		}},
	} {
		f, _ := site(t, false, c.h)
		if _, err := f.find(t.Context(), "a.example"); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	noName := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "a.example", IsNotFound: true}
	})}
	f := newFinder(Config{HTTPClient: noName}.orDefaults(), false)
	if _, err := f.find(t.Context(), "a.example"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no name: %v", err)
	}
}

func TestEndpointsWithoutTLSAreForLoopback(t *testing.T) {
	for _, c := range []struct {
		config        string
		plain, secure bool
		want          string
	}{
		{`"grpc":"n.example:1","url":"wss://n.example/ws"`, false, false, "[wss://n.example/ws]"},
		{`"grpc":"n.example:1","url":"wss://n.example/ws"`, false, true, "[grpc://n.example:1 wss://n.example/ws]"},
		{`"grpc":"n.example:1","url":"ws://n.example/ws"`, false, true, "[grpc://n.example:1]"},
		{`"grpc":"n.example:1","url":"ws://n.example/ws"`, true, false, "[grpc://n.example:1 ws://n.example/ws]"},
		{`"grpc":"127.0.0.1:1","url":"ws://localhost:2/ws"`, false, false, "[grpc://127.0.0.1:1 ws://localhost:2/ws]"},
		{`"grpc":"n.example:1","url":"ws://n.example/ws"`, false, false, "[]"},
	} {
		f := newFinder(Config{AllowPlain: c.plain}.orDefaults(), c.secure)
		got, err := f.endpoints("here", []byte(`{"configuration":{`+c.config+`}}`))
		if fmt.Sprint(got) != c.want || (err == nil) != (len(got) > 0) {
			t.Errorf("%s, plain %v, secure %v: %v, %v", c.config, c.plain, c.secure, got, err)
		}
	}
}
