package msgnode

import (
	"encoding/json"
	"net"
	"net/http"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// DescriptorPath is where a runtime of another domain learns how to reach this
// domain's node.
const DescriptorPath = "/.well-known/protostub/default"

// descriptorVersion is that of the descriptor's form.
const descriptorVersion = "1.0"

// Descriptor tells how to reach a Message Node. Its fields are those of
// reTHINK's protocol stub descriptors; `grpc` and `domain` are ours, and others
// can ignore them.
type Descriptor struct {
	GUID          string        `json:"guid"`
	Version       string        `json:"version"`
	ObjectName    string        `json:"objectName"`
	Description   string        `json:"description"`
	Configuration Configuration `json:"configuration"`
	Interworking  bool          `json:"interworking"`
	Constraints   struct{}      `json:"constraints"`
}

// Configuration is what a stub needs.
type Configuration struct {
	Domain string `json:"domain"`
	URL    string `json:"url"`            // of the WebSocket
	GRPC   string `json:"grpc,omitempty"` // host:port of MessageNode
}

// Handler serves /ws, /healthz, /metrics and the descriptor.
func (n *Node) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", n.serveWebSocket)
	mux.HandleFunc("GET /healthz", n.serveHealth)
	mux.HandleFunc("GET "+DescriptorPath, n.serveDescriptor)
	if g := n.gatherer(); g != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	}
	return mux
}

func (n *Node) gatherer() prometheus.Gatherer {
	if n.cfg.Gatherer != nil {
		return n.cfg.Gatherer
	}
	g, _ := n.cfg.Metrics.(prometheus.Gatherer)
	return g
}

// serveHealth answers 200 when clients are served and the store is connected.
func (n *Node) serveHealth(w http.ResponseWriter, _ *http.Request) {
	switch {
	case !n.isUp():
		http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
	case !n.engine.Conn().IsConnected():
		http.Error(w, "NATS is lost", http.StatusServiceUnavailable)
	default:
		_, _ = w.Write([]byte("ok\n")) // the client may be gone
	}
}

// serveDescriptor answers a page of any origin: a browser's runtime asks as well.
func (n *Node) serveDescriptor(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_ = json.NewEncoder(w).Encode(n.descriptor(r)) // the client may be gone
}

func (n *Node) descriptor(r *http.Request) Descriptor {
	return Descriptor{
		GUID:        "protostub://" + n.domain + "/" + uuid.NewSHA1(uuid.NameSpaceDNS, []byte(n.domain)).String(),
		Version:     descriptorVersion,
		ObjectName:  "default",
		Description: "Message Node of " + n.domain,
		Configuration: Configuration{
			Domain: n.domain,
			URL:    n.webSocketURL(r),
			GRPC:   n.grpcEndpoint(r),
		},
	}
}

// webSocketURL is the one given, or that of the host which was asked. Behind a
// proxy that ends TLS its header tells.
func (n *Node) webSocketURL(r *http.Request) string {
	if n.cfg.WebSocketURL != "" {
		return n.cfg.WebSocketURL
	}
	scheme := "ws"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "wss"
	}
	return scheme + "://" + r.Host + "/ws"
}

// grpcEndpoint is the one given, or the gRPC listener's port at the host which
// was asked.
func (n *Node) grpcEndpoint(r *http.Request) string {
	if n.cfg.GRPCEndpoint != "" || n.cfg.GRPCAddr == "" {
		return n.cfg.GRPCEndpoint
	}
	_, port, err := net.SplitHostPort(n.cfg.GRPCAddr)
	if err != nil {
		return ""
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host // without a port
	}
	return net.JoinHostPort(host, port)
}
