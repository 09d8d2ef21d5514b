package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/services/p2pstub"
)

// Default addresses. All of them are loopback: what others shall reach is said
// on purpose.
const (
	defaultNodeAddr     = "127.0.0.1:7400"
	defaultRegistryAddr = "127.0.0.1:7401"
	defaultBusAddr      = "127.0.0.1:7402"
	defaultP2PStubAddr  = "127.0.0.1:7403"
	defaultNodeStubAddr = "127.0.0.1:7404"
	defaultNodeHTTPAddr = "127.0.0.1:7480"
	defaultHTTPAddr     = "127.0.0.1:7490"
)

// Names of flags that are used in more than one place.
const (
	flagBusAddr      = "bus-addr"
	flagRegistryAddr = "registry-addr"
	flagP2PStubAddr  = "p2pstub-addr"
	flagNodeStubAddr = "nodestub-addr"
	flagAddr         = "addr"
	flagContext      = "context"
	flagOutput       = "output"
	flagHTTPAddr     = "http-addr"
	flagNATSURL      = "nats-url"
	flagReplicaAddr  = "replica-addr"
)

// securityFlags are the same for every listener and every connection.
func securityFlags(f *pflag.FlagSet, s *rpc.Security) {
	f.StringVar(&s.CertFile, "tls-cert", "", "PEM `FILE` with this process's certificate")
	f.StringVar(&s.KeyFile, "tls-key", "", "PEM `FILE` with its key")
	f.StringVar(&s.CAFile, "tls-ca", "", "PEM `FILE` with the authorities of the other side's certificate; makes TLS mutual")
}

// serviceSettings are those of every mode that runs as a service.
type serviceSettings struct {
	security  rpc.Security
	observe   observeSettings
	httpAddr  string
	logLevel  string
	logFormat string
}

func (s *serviceSettings) flags(f *pflag.FlagSet, httpAddr string) {
	securityFlags(f, &s.security)
	f.BoolVar(&s.security.Insecure, "insecure", false, "allow a listener beyond loopback without TLS")
	s.security.SocketMode = rpc.SocketMode
	f.Var((*fileMode)(&s.security.SocketMode), "socket-mode", "permissions of unix sockets, an octal `MODE` such as 0660")
	f.BoolVar(&s.security.NoAbstract, "no-abstract", false, "gRPC on loopback over TCP alone, and no abstract unix sockets beside its ports (Linux, without TLS)")
	f.StringVar(&s.httpAddr, flagHTTPAddr, httpAddr, "`HOST:PORT` or unix:///PATH for /healthz and /metrics; empty for none")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
	s.observe.flags(f)
}

// logger makes the log of a process. service and runtime stand on every line.
func (s *serviceSettings) logger(cmd *cobra.Command, attrs ...any) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, fault.New(fault.BadRequest, "log-level %q: want debug, info, warn or error", s.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler
	switch s.logFormat {
	case "text":
		h = slog.NewTextHandler(cmd.ErrOrStderr(), opts)
	case "json":
		h = slog.NewJSONHandler(cmd.ErrOrStderr(), opts)
	default:
		return nil, fault.New(fault.BadRequest, "log-format %q: want text or json", s.logFormat)
	}
	return slog.New(h).With(attrs...), nil
}

// runtimeSettings are those of a runtime's services. Each mode takes the flags
// that it uses, under the same names.
type runtimeSettings struct {
	serviceSettings
	runtimeURL   string
	busAddr      string
	registryAddr string
	p2pstubAddr  string
	nodestubAddr string
	grpcAddr     string
	origins      []string

	replica replicaSettings
	// p2pstubGiven tells whether p2pstubAddr was given, or is the default.
	p2pstubGiven func() bool

	dataDir      string
	natsURL      string
	natsReplicas int
	p2p          string

	hideChanges bool
	flows       bool

	nodes []string

	iceServers []string
	udpPort    int
	advertise  []string
	paths      p2pstub.Limits
	allowHTTP  bool
}

func (s *runtimeSettings) commonFlags(f *pflag.FlagSet) {
	s.serviceSettings.flags(f, "")
	f.StringVar(&s.runtimeURL, "runtime-url", "", "address of the runtime, `hyperty-runtime://DOMAIN/ID`")
}

func (s *runtimeSettings) busFlag(f *pflag.FlagSet) {
	f.StringVar(&s.busAddr, flagBusAddr, defaultBusAddr, "`HOST:PORT` or unix:///PATH of the bus; several replicas have commas between them")
}

func (s *runtimeSettings) flowFlag(f *pflag.FlagSet) {
	f.BoolVar(&s.flows, "flows", true, "send to other runtimes in flows, each message once and in order; with =false, some may be lost or overtaken when their path changes")
}

func (s *runtimeSettings) registryFlag(f *pflag.FlagSet) {
	f.StringVar(&s.registryAddr, flagRegistryAddr, defaultRegistryAddr, "`HOST:PORT` or unix:///PATH of the registry; several replicas have commas between them")
}

func (s *runtimeSettings) p2pstubFlag(f *pflag.FlagSet) {
	f.StringVar(&s.p2pstubAddr, flagP2PStubAddr, defaultP2PStubAddr, "`HOST:PORT` or unix:///PATH of the p2pstub")
	s.p2pstubGiven = func() bool { return f.Changed(flagP2PStubAddr) }
}

func (s *runtimeSettings) nodestubFlag(f *pflag.FlagSet) {
	f.StringVar(&s.nodestubAddr, flagNodeStubAddr, defaultNodeStubAddr, "`HOST:PORT` or unix:///PATH of the nodestub")
}

func (s *runtimeSettings) gatewayFlags(f *pflag.FlagSet) {
	http := f.Lookup(flagHTTPAddr)
	http.Usage = "`HOST:PORT` or unix:///PATH for REST, /ws, /docs, /healthz, /readyz and /metrics; empty for none"
	http.DefValue = defaultHTTPAddr
	s.httpAddr = defaultHTTPAddr
	f.StringArrayVar(&s.origins, "cors-origin", nil, "`ORIGIN` whose pages may use the gateway besides its own, as in https://app.example (repeatable), or * for all")
}

func (s *runtimeSettings) storeFlags(f *pflag.FlagSet) {
	f.StringVar(&s.dataDir, "data-dir", "", "`DIR` for what must outlive a restart (default: below the user's state directory)")
	natsFlags(f, &s.natsURL, &s.natsReplicas)
	f.StringVar(&s.p2p, "p2p", "always", "when to set up direct connections: always, on-request or never")
	f.BoolVar(&s.hideChanges, "hide-changes", false, "do not tell other runtimes what is registered here")
}

// natsFlags are those of a NATS that is not in the process.
func natsFlags(f *pflag.FlagSet, url *string, replicas *int) {
	f.StringVar(url, flagNATSURL, "", "`URL[,URL]` of an existing NATS with JetStream, of as many of its servers as there are; empty for one inside the process")
	f.IntVar(replicas, "nats-replicas", 0, fmt.Sprintf("`NUMBER` of servers of that NATS that keep a copy of the state; 0 for %d in a cluster and 1 on a single server", engine.ClusterReplicas))
}

func (s *runtimeSettings) nodeFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.nodes, "node", nil, "Message Node of a domain, `DOMAIN=HOST:PORT[,HOST:PORT]`, with one address for each replica or a name that has several, or unix:///PATH (repeatable); others are looked up at their well-known descriptor")
	f.BoolVar(&s.allowHTTP, "discover-http", false, "look up well-known descriptors over plain HTTP too, where HTTPS fails")
}

func (s *runtimeSettings) webrtcFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.iceServers, "ice-server", nil, "STUN or TURN server, `URL[,USER,SECRET]` (repeatable)")
	f.IntVar(&s.udpPort, "udp-port", 0, "UDP port for all connections; 0 picks one")
	f.StringArrayVar(&s.advertise, "advertise", nil, "`IP` at which others reach this host (repeatable)")
	pathFlags(f, &s.paths)
}

// validate checks what every mode of a runtime needs.
func (s *runtimeSettings) validate() (address.URL, error) {
	if s.runtimeURL == "" {
		return address.URL{}, fault.New(fault.BadRequest, "runtime-url is missing: give --runtime-url hyperty-runtime://DOMAIN/ID")
	}
	u, err := address.ParseRuntime(s.runtimeURL)
	if err != nil {
		return u, fault.New(fault.BadRequest, "runtime-url: %w", err)
	}
	if s.udpPort < 0 || s.udpPort > 65535 {
		return u, fault.New(fault.BadRequest, "udp-port %d is no port", s.udpPort)
	}
	for _, ip := range s.advertise {
		if net.ParseIP(ip) == nil {
			return u, fault.New(fault.BadRequest, "advertise %q is no IP address", ip)
		}
	}
	return u, nil
}

// nodeMap takes --node apart.
func nodeMap(nodes []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, n := range nodes {
		domain, addrs, ok := strings.Cut(n, "=")
		if !ok || domain == "" {
			return nil, fault.New(fault.BadRequest, "node %q: want DOMAIN=HOST:PORT[,HOST:PORT], or DOMAIN=unix:///PATH", n)
		}
		if out[domain] != nil {
			return nil, fault.New(fault.BadRequest, "node: %s is given twice", domain)
		}
		var err error
		if out[domain], err = endpoints(addrs); err != nil {
			return nil, fault.New(fault.BadRequest, "node %q: want DOMAIN=HOST:PORT[,HOST:PORT]; %w", n, err)
		}
	}
	return out, nil
}

// storeDir gives the directory of a service's store. name tells several on one
// machine apart.
func storeDir(dir, service, name string) (string, error) {
	if dir != "" {
		return filepath.Join(dir, service), nil
	}
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.New(fault.BadRequest, "data-dir is missing, and there is no home directory: %w", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "peerbus", service, url.PathEscape(name)), nil
}
