package gateway

import (
	"net/http"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/web"
)

// docsPage is /docs/, from files in the binary.
func docsPage() http.HandlerFunc {
	page := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "peerbus", SwaggerJSON: "/openapi.json", BasePath: "/docs/",
		SettingsUI: map[string]string{"validatorUrl": "null"}, // nothing is asked of other hosts
	})
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		page.ServeHTTP(&jsonNotFound{ResponseWriter: w, path: r.URL.Path}, r)
	}
}

// docsPolicy keeps the page to this gateway, and others' pages from framing it.
const docsPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; frame-ancestors 'none'"

// jsonNotFound has an error of ours in place of a file server's text.
type jsonNotFound struct {
	http.ResponseWriter
	path   string
	silent bool
}

// WriteHeader is http.ResponseWriter's.
func (w *jsonNotFound) WriteHeader(code int) {
	if w.silent = code == http.StatusNotFound; w.silent {
		writeError(w.ResponseWriter, fault.New(fault.NotFound, "there is nothing at %.200q", w.path).In("path"))
		return
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write is http.ResponseWriter's.
func (w *jsonNotFound) Write(b []byte) (int, error) {
	if w.silent {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

func (g *Gateway) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(g.openapi)
}

func serveModule(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript")
	_, _ = w.Write(web.Module)
}
