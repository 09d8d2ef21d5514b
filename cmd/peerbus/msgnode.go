package main

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/services/msgnode"
)

// nodeSettings are those of `peerbus msgnode`.
type nodeSettings struct {
	serviceSettings
	domain, grpcAddr, dataDir, natsURL string
	externalWS, externalGRPC           string
	external                           string // :PORT of externalGRPC
	natsReplicas                       int
	limits                             msgnode.Limits
}

// nodeService is the name under which a Message Node's health is asked: NOT_SERVING while
// no sessions can be opened there. Under the empty name it is SERVING all the same, since
// the sessions that are there go on.
var nodeService = pb.MessageNode_ServiceDesc.ServiceName

// msgnodeCommand is the Message Node of a domain.
//
//	nodestubs ──gRPC──► gRPC server ─┐
//	                                 ├─► msgnode ──► store (NATS, JetStream)
//	foreign runtimes ──/ws─► HTTP ───┘
func msgnodeCommand() *cobra.Command {
	s := nodeSettings{limits: msgnode.DefaultLimits()}
	c := &cobra.Command{
		Use: "msgnode", GroupID: groupServices, Args: cobra.NoArgs,
		Short: "Run the Message Node of a domain: relay, addresses, subscriptions, domain registry",
		Example: `  peerbus msgnode --domain example.org
  peerbus msgnode --domain example.org --nats-url nats://127.0.0.1:4222 --grpc-addr 10.0.0.1:7400 --tls-cert node.pem --tls-key node.key`,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	f := c.Flags()
	s.flags(f, defaultNodeHTTPAddr)
	f.Lookup("http-addr").Usage = "`HOST:PORT` or unix:///PATH for /ws, the well-known descriptor, /healthz, /readyz and /metrics"
	f.StringVar(&s.domain, "domain", "", "`DOMAIN` that this node serves")
	f.StringVar(&s.grpcAddr, "grpc-addr", defaultNodeAddr, "`HOST:PORT` or unix:///PATH for nodestubs")
	f.StringVar(&s.dataDir, "data-dir", "", "`DIR` for what must outlive a restart (default: below the user's state directory)")
	natsFlags(f, &s.natsURL, &s.natsReplicas)
	f.StringVar(&s.externalWS, "external-ws", "", "`URL` of /ws as others reach it (default: from the request's host)")
	f.StringVar(&s.externalGRPC, "external-grpc", "", "`HOST:PORT[,HOST:PORT]` of the gRPC address as others reach it, with one for each replica or a name that has several addresses; :PORT for the host of the request (default: that host, and the port of --grpc-addr)")
	f.IntVar(&s.limits.MailboxBytes, "mailbox-bytes", s.limits.MailboxBytes, "most `BYTES` kept for one runtime while its session is lost")
	f.IntVar(&s.limits.Sessions, "max-sessions", s.limits.Sessions, "most `SESSIONS` of the domain; each replica has the records of all in memory")
	f.IntVar(&s.limits.Entries, "max-entries", s.limits.Entries, "most `ENTRIES` of the domain registry, which are records too")
	f.DurationVar(&s.limits.MailboxTime, "mailbox-time", s.limits.MailboxTime, "how long a message is kept for such a runtime")
	return c
}

func (s *nodeSettings) run(cmd *cobra.Command) error {
	if s.domain == "" {
		return fault.New(fault.BadRequest, "domain is missing: give --domain DOMAIN")
	}
	if s.httpAddr == "" {
		return fault.New(fault.BadRequest, "http-addr is missing: a Message Node serves /ws there")
	}
	if s.limits.MailboxBytes < 0 || s.limits.MailboxTime < 0 {
		return fault.New(fault.BadRequest, "mailbox-bytes and mailbox-time cannot be negative")
	}
	if s.limits.Sessions < 1 || s.limits.Entries < 1 {
		return fault.New(fault.BadRequest, "max-sessions and max-entries are numbers above 0")
	}
	endpoints, err := s.endpoints()
	if err != nil {
		return err
	}
	log, err := s.logger(cmd, "domain", s.domain)
	if err != nil {
		return err
	}
	p := newProcess(log, "msgnode", s.security)
	p.replicas = s.natsReplicas
	if err = p.observe(&s.observe); err == nil {
		err = s.build(cmd, p, endpoints)
	}
	if err != nil {
		p.close()
		return notStarted("msgnode", err)
	}
	return p.run(cmd.Context())
}

// endpoints takes --external-grpc apart. A port alone is none, but that of the descriptor
// in place of the one that is listened on.
func (s *nodeSettings) endpoints() ([]string, error) {
	if s.externalGRPC == "" {
		return nil, nil
	}
	endpoints, err := hostPorts(s.externalGRPC)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "external-grpc %q: %w", s.externalGRPC, err)
	}
	if strings.HasPrefix(endpoints[0], ":") && len(endpoints) == 1 {
		s.external = endpoints[0]
		return nil, nil
	}
	if slices.ContainsFunc(endpoints, func(e string) bool { return strings.HasPrefix(e, ":") }) {
		return nil, fault.New(fault.BadRequest, "external-grpc %q: each of several endpoints needs a host", s.externalGRPC)
	}
	if len(endpoints) > 1 && s.natsURL == "" {
		return nil, fault.New(fault.BadRequest,
			"external-grpc names %d replicas, but each would have a state of its own: give all of them the same --nats-url", len(endpoints))
	}
	return endpoints, nil
}

func (s *nodeSettings) build(cmd *cobra.Command, p *process, endpoints []string) error {
	dir, err := storeDir(s.dataDir, "msgnode", s.domain)
	if err != nil {
		return err
	}
	store, err := p.openStore(cmd.Context(), dir, s.natsURL, "msgnode "+s.domain)
	if err != nil {
		return err
	}
	node, err := msgnode.New(msgnode.Config{
		Domain: s.domain, Engine: store, WebSocketURL: s.externalWS, GRPCEndpoints: endpoints,
		OnReady:  func(ready bool) { p.server.Say(nodeService, ready) },
		GRPCAddr: cmp.Or(s.external, tcpOf(s.grpcAddr)), Limits: s.limits, Log: p.named("msgnode"), Metrics: p.metrics, Tracer: p.tracer,
	})
	if err != nil {
		return err
	}
	p.services = append(p.services, node.Register)
	p.health.need(func(context.Context) error { return node.Health() })
	if err := p.serveHTTP(s.httpAddr, node.Handler()); err != nil {
		return err
	}
	if err := p.serveGRPC(s.grpcAddr); err != nil {
		return err
	}
	p.server.Say(nodeService, false) // until the node is
	// Stopped before its servers: it ends each connection in order.
	p.tree.Add("msgnode", node.Run)
	return nil
}
