package tracing

import (
	"crypto/tls"
	"net"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"google.golang.org/grpc/credentials"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// defaultPort is that of OTLP over gRPC.
const defaultPort = "4317"

// connection says how a collector is reached: on this machine in plain text, elsewhere
// over TLS by the process's security, and with --insecure, or a URL that says so, as
// that has it.
func connection(endpoint string, s rpc.Security) ([]otlptracegrpc.Option, error) {
	addr, scheme, err := parseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(addr)
	near := isLoopback(host)
	if scheme == "http" && !near && !s.Insecure {
		return nil, wrong("%s can be read by others on its way: give an https URL, or --insecure if that is meant", endpoint)
	}
	if scheme == "http" || scheme == "" && (near || s.Insecure) {
		return []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(addr), otlptracegrpc.WithInsecure()}, nil
	}
	cfg, err := s.ClientTLS()
	if err != nil {
		return nil, err
	}
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12} // a collector may be of any make
	}
	return []otlptracegrpc.Option{
		otlptracegrpc.WithEndpoint(addr), otlptracegrpc.WithTLSCredentials(credentials.NewTLS(cfg)),
	}, nil
}

// parseEndpoint takes `HOST:PORT`, or a URL of http or https.
func parseEndpoint(endpoint string) (addr, scheme string, err error) {
	if !strings.Contains(endpoint, "://") {
		if host, port, err := net.SplitHostPort(endpoint); err != nil || host == "" || port == "" {
			return "", "", wrong("%q: want HOST:PORT, or a URL of http or https", endpoint)
		}
		return endpoint, "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", "", wrong("%q: want HOST:PORT, or a URL of http or https without a path", endpoint)
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	return net.JoinHostPort(u.Hostname(), port), u.Scheme, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func wrong(format string, args ...any) error {
	return fault.New(fault.BadRequest, "otlp-endpoint "+format, args...).In("otlp-endpoint")
}
