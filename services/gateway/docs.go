package gateway

import (
	_ "embed"
	"net/http"
	"sync"

	"github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/web"
)

// docsIndex is the page, which shows /openapi.json with Swagger UI.
//
//go:embed docs.html
var docsIndex []byte

// docsFiles are Swagger UI's own. They are read when somebody asks for them: most
// gateways are never asked.
var docsFiles = sync.OnceValue(func() http.Handler { return http.StripPrefix("/docs/", statigz.FileServer(static.FS)) })

// serveDocs is /docs/, from files in the binary.
func serveDocs(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", docsPolicy)
	if r.URL.Path == "/docs/" {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(docsIndex)
		return
	}
	docsFiles().ServeHTTP(&jsonNotFound{ResponseWriter: w, path: r.URL.Path}, r)
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

// described is /openapi.json, put together when somebody asks for it.
var described = sync.OnceValues(describe)

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	text, err := described()
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

func serveModule(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript")
	_, _ = w.Write(web.Module)
}
