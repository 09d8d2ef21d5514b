package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

// A process lives through all that keeps it from being ready.
func TestHealthOfAProcess(t *testing.T) {
	var h health
	var lacks error
	h.need(func(context.Context) error { return lacks })
	for _, c := range []struct {
		name  string
		begin func()
		want  string // of /readyz
	}{
		{"starting", func() {}, "not ready: starting"},
		{"serving", func() { h.serving.Store(true) }, "ok"},
		{"its store is away", func() { lacks = errors.New("NATS is lost") }, "NATS is lost"},
		{"its store is back", func() { lacks = nil }, "ok"},
		{"stopping", func() { h.stopping.Store(true) }, "not ready: stopping"},
	} {
		c.begin()
		if code, text := probed(&h, "/livez"); code != http.StatusOK || text != "ok\n" {
			t.Errorf("%s: /livez says %d, %q", c.name, code, text)
		}
		code, text := probed(&h, "/readyz")
		if (code == http.StatusOK) != (c.want == "ok") || !strings.Contains(text, c.want) {
			t.Errorf("%s: /readyz says %d, %q, want %q", c.name, code, text, c.want)
		}
	}
	if code, _ := probed(&h, "/metrics"); code != http.StatusNotFound {
		t.Errorf("/metrics says %d", code)
	}
}

func probed(h *health, path string) (int, string) {
	w := httptest.NewRecorder()
	h.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// A runtime that has a certificate is probed without one; it is ready once its session
// is live.
func TestProbesOfARuntime(t *testing.T) {
	authority := testcert.New(t, "authority")
	cert, key := authority.Issue(t, "peerbus")
	system := newSecureSystem(t, rpc.Security{CertFile: cert, KeyFile: key, CAFile: authority.File})
	node := startNode(t, system)
	addr := freeAddr(t)
	startRuntime(t, system, "alice", local.AllInOne, []*local.Node{node}, "--probe-addr", addr)
	for ctx := testContext(t); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if !pause(ctx) {
			t.Fatal("the runtime is not ready", err)
		}
	}
}
