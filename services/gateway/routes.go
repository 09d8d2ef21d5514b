package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// routes is all that there is at a gateway. What is not here and not in
// api/http.yaml is answered with 404.
func (g *Gateway) routes() (http.Handler, error) {
	rest, err := g.rest()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for pattern, serve := range map[string]http.HandlerFunc{
		"POST /v1/messages":         g.postMessage,
		"GET /v1/messages":          g.serveMessages,
		"GET /v1/connections:watch": g.serveConnections,
		"GET /ws":                   g.serveWebSocket,
		"GET /readyz":               g.serveReady,
		"GET /openapi.json":         serveOpenAPI,
		"GET /web/peerbus.js":       serveModule,
	} {
		mux.HandleFunc(pattern, g.metrics.count(pattern, serve))
	}
	mux.Handle("/docs/", docsPage())
	mux.Handle("GET /docs", http.RedirectHandler("/docs/", http.StatusMovedPermanently))
	if g.cfg.Monitoring != nil {
		mux.Handle("GET /metrics", g.cfg.Monitoring)
		mux.Handle("GET /healthz", g.cfg.Monitoring)
	}
	mux.Handle("/", g.metrics.count("rest", g.bounded(rest)))
	return g.guard(mux), nil
}

// rest serves api/http.yaml.
func (g *Gateway) rest() (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newCodec()),
		runtime.SetQueryParameterParser(parameters{}),
		runtime.WithErrorHandler(handleError),
		runtime.WithRoutingErrorHandler(handleRoutingError),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
	)
	ctx := context.Background() // only read by the handlers
	return mux, errors.Join(
		pb.RegisterRegistryHandlerClient(ctx, mux, pb.NewRegistryClient(kinds{g.cfg.Registry})),
		mux.HandlePath(http.MethodGet, "/v1/messages", notHere),
	)
}

// notHere is never reached: the pattern makes other methods of the path be answered
// with 405.
func notHere(w http.ResponseWriter, r *http.Request, _ map[string]string) { http.NotFound(w, r) }

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
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.limits.Body))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, fault.New(fault.TooLarge, "body has more than %d bytes", large.Limit).In("body")
	case err != nil:
		return nil, fault.New(fault.BadRequest, "body: %w", err).In("body")
	}
	return body, nil
}

// kinds is a connection to the registry on which the path says whether it is about
// hyperties or about data objects.
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
		if k := req.Registration.Kind; k != pb.RegistrationKind_REGISTRATION_KIND_UNSPECIFIED && k != kind {
			return fault.New(fault.BadRequest, "kind %s does not fit the path", k).In("kind")
		}
		req.Registration.Kind = kind
	case *pb.ListRegistrationsRequest:
		req.Kind = kind
	}
	return k.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}
