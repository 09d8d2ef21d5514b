package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// methods are what there is at a path.
type methods map[string]http.HandlerFunc

// connectionPath is the one path with a part of its own: the id of a connection, or
// the URL of its runtime with each `/` as %2F.
const connectionPath = "/v1/connections/{connection}"

// table is all that there is at a gateway; /openapi.json says the same for people.
// What calls serves is in api/http.yaml.
func (g *Gateway) table() (map[string]methods, error) {
	rest, err := g.rest()
	if err != nil {
		return nil, err
	}
	calls := g.bounded(rest)
	registrations := methods{http.MethodGet: calls, http.MethodPost: calls, http.MethodDelete: calls}
	t := map[string]methods{
		"/v1/messages":          {http.MethodPost: g.postMessage, http.MethodGet: g.serveMessages},
		"/v1/connections":       {http.MethodGet: g.connections(calls), http.MethodPost: calls, http.MethodDelete: calls},
		connectionPath:          {http.MethodGet: calls, http.MethodDelete: calls},
		"/v1/connections:watch": {http.MethodGet: g.serveFeed},
		"/v1/hyperties":         registrations,
		"/v1/dataobjects":       registrations,
		"/v1/resolve":           {http.MethodGet: calls},
		"/v1/runtime":           {http.MethodGet: calls},
		"/ws":                   {http.MethodGet: g.serveWebSocket},
		"/readyz":               {http.MethodGet: g.serveReady},
		"/openapi.json":         {http.MethodGet: serveOpenAPI},
		"/web/peerbus.js":       {http.MethodGet: serveModule},
		"/docs":                 {http.MethodGet: http.RedirectHandler("/docs/", http.StatusMovedPermanently).ServeHTTP},
		"/docs/":                {http.MethodGet: serveDocs},
	}
	if g.cfg.Monitoring != nil {
		t["/healthz"] = methods{http.MethodGet: g.cfg.Monitoring.ServeHTTP}
		t["/metrics"] = methods{http.MethodGet: g.cfg.Monitoring.ServeHTTP}
	}
	return t, nil
}

// endless are the paths whose GET is a stream: it has no HEAD.
var endless = []string{"/v1/messages", "/v1/connections:watch", "/ws"}

// routes serves the table. All refusals are JSON, as net/http's own mux has them not.
func (g *Gateway) routes() (http.Handler, error) {
	table, err := g.table()
	if err != nil {
		return nil, err
	}
	for path, m := range table {
		for method, serve := range m {
			m[method] = g.paced(g.held(g.metrics.count(method+" "+path, serve)))
		}
	}
	refuse := g.paced(g.metrics.count(routeNone, func(w http.ResponseWriter, r *http.Request) { refuseRoute(w, r, table) }))
	return g.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := patternOf(r.URL)
		serve := table[path][r.Method]
		if r.Method == http.MethodHead && !slices.Contains(endless, path) {
			serve, r = table[path][http.MethodGet], asGet(r)
		}
		if serve == nil {
			serve = refuse
		}
		serve(w, r)
	})), nil
}

// refuseRoute answers what is at no route, or with another method; and says which
// methods there are, which is what OPTIONS asks.
func refuseRoute(w http.ResponseWriter, r *http.Request, table map[string]methods) {
	path := patternOf(r.URL)
	m := table[path]
	if m == nil {
		writeError(w, fault.New(fault.NotFound, "there is nothing at %.200q; /docs/ lists what there is", r.URL.Path).In("path"))
		return
	}
	w.Header().Set("Allow", allowed(path, m))
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	writeError(w, fault.New(http.StatusMethodNotAllowed, "%.20q is not for %s, but %s", r.Method, path, allowed(path, m)).In("method"))
}

// patternOf is the key of a path in the table.
func patternOf(u *url.URL) string {
	if strings.HasPrefix(u.Path, "/docs/") {
		return "/docs/"
	}
	if id, ok := strings.CutPrefix(u.EscapedPath(), "/v1/connections/"); ok && id != "" && !strings.Contains(id, "/") {
		return connectionPath
	}
	return u.Path
}

// asGet is a HEAD as the GET whose answer's body is not sent. A GET that would be a
// stream is not wanted.
func asGet(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Method = http.MethodGet
	r.Header.Del("Accept")
	return r
}

// allowed lists the methods of a path.
func allowed(path string, m methods) string {
	list := slices.AppendSeq([]string{http.MethodOptions}, maps.Keys(m))
	if m[http.MethodGet] != nil && !slices.Contains(endless, path) {
		list = append(list, http.MethodHead)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// rest serves api/http.yaml.
func (g *Gateway) rest() (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, g.codec),
		runtime.SetQueryParameterParser(parameters{}),
		runtime.WithErrorHandler(handleError),
		runtime.WithRoutingErrorHandler(handleRoutingError),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptSlash),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
	)
	ctx := context.Background() // only read by the handlers
	return mux, pb.RegisterRegistryHandlerClient(ctx, mux, pb.NewRegistryClient(kinds{g.cfg.Registry}))
}

// bounded reads the body, so that one that is too large is told apart from one that
// is wrong, and bounds the call.
func (g *Gateway) bounded(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := g.readBody(w, r)
		if err != nil {
			writeError(w, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), g.limits.Call)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}
}

func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, fault.New(http.StatusUnsupportedMediaType, "Content-Encoding %.40q is not understood", coding).In("Content-Encoding")
	}
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(time.Now().Add(g.limits.Upload)) // what cannot have one is not from outside
	defer func() { _ = ctl.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.limits.Body))
	var large *http.MaxBytesError
	var own *fault.Error
	switch {
	case errors.As(err, &own):
		return nil, own.In("body")
	case errors.As(err, &large):
		return nil, fault.New(fault.TooLarge, "body has more than %d bytes", large.Limit).In("body")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fault.New(fault.Timeout, "body has not come within %s", g.limits.Upload).In("body")
	case err != nil:
		return nil, fault.New(fault.BadRequest, "body: %w", err).In("body")
	}
	return body, nil
}

// held counts what a handler reads of a body, for as long as it may need it.
func (g *Gateway) held(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, release := g.bodies.hold(r.Body)
		defer release()
		r.Body = body
		next(w, r)
	}
}

// kinds is a connection to the registry on which the path says whether it is about
// hyperties or about data objects, and which connection it is about.
type kinds struct{ grpc.ClientConnInterface }

// Invoke is grpc.ClientConnInterface's.
func (k kinds) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	path, _ := runtime.HTTPPathPattern(ctx)
	kind := pb.RegistrationKind_REGISTRATION_KIND_HYPERTY
	if strings.HasPrefix(path, "/v1/dataobjects") {
		kind = pb.RegistrationKind_REGISTRATION_KIND_DATA_OBJECT
	}
	switch req := args.(type) {
	case *pb.RegisterRequest:
		if req.Registration == nil {
			req.Registration = &pb.Registration{}
		}
		given, err := fits(req.Registration.Kind, kind)
		if err != nil {
			return err
		}
		req.Registration.Kind = given
	case *pb.ListRegistrationsRequest:
		given, err := fits(req.Kind, kind)
		if err != nil {
			return err
		}
		req.Kind = given
	case *pb.GetConnectionRequest:
		req.Connection = unescaped(req.Connection)
		if err := message.CheckUTF8("connection", req.Connection); err != nil {
			return err
		}
	case *pb.DisconnectRequest:
		req.Connection = unescaped(req.Connection)
		if err := message.CheckUTF8("connection", req.Connection); err != nil {
			return err
		}
	}
	return k.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

// unescaped has the slashes that a part of a path cannot have.
func unescaped(part string) string { return slash.Replace(part) }

var slash = strings.NewReplacer("%2F", "/", "%2f", "/")

// fits gives the kind of a request, which is that of the path. One that there is not is
// the registry's to refuse.
func fits(given, kind pb.RegistrationKind) (pb.RegistrationKind, error) {
	_, known := pb.RegistrationKind_name[int32(given)]
	switch {
	case given == pb.RegistrationKind_REGISTRATION_KIND_UNSPECIFIED || given == kind:
		return kind, nil
	case !known:
		return given, nil
	}
	return 0, fault.New(fault.BadRequest, "kind %s does not fit the path", given).In("kind")
}
