package main

import (
	"context"
	"net"
	"net/netip"

	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/rpc"
)

// replicaSettings are those of a service that may have replicas.
type replicaSettings struct {
	addr, serverName string
}

// replicaFlags are for services whose replicas find one another over NATS.
func (s *runtimeSettings) replicaFlags(f *pflag.FlagSet) {
	if f.Lookup(flagNATSURL) == nil {
		natsFlags(f, &s.natsURL, &s.natsReplicas)
		f.Lookup(flagNATSURL).Usage = "`URL[,URL]` of an existing NATS with JetStream, over which replicas find one another; empty: there is one of each service"
	}
	f.StringVar(&s.replica.addr, flagReplicaAddr, "", "`HOST:PORT` at which other replicas reach this one (default: where it listens, unless that is a wildcard)")
	f.StringVar(&s.replica.serverName, "replica-server-name", "", "`NAME` in this replica's certificate (default: the host of --replica-addr)")
}

// member is what this process announces itself as. listens is where it listens.
func (s *replicaSettings) member(kind, listens string) (members.Member, error) {
	m := members.Member{Kind: kind, ID: uuid.NewString(), Addr: s.addr, ServerName: s.serverName}
	if m.Addr == "" {
		listens = tcpOf(listens)
		host, _, err := net.SplitHostPort(listens)
		if ip, notIP := netip.ParseAddr(host); err != nil || host == "" || notIP == nil && ip.IsUnspecified() {
			return m, fault.New(fault.BadRequest, "replica-addr is missing: %q names no host at which other replicas reach this one", listens)
		}
		m.Addr = listens
	}
	if err := m.Check(); err != nil {
		return m, fault.New(fault.BadRequest, "replica-addr %q, replica-server-name %q: %w", s.addr, s.serverName, err)
	}
	return m, nil
}

// join makes this process one of the replicas of its service.
func (p *process) join(s *runtimeSettings, e *engine.Engine, kind, listens string) (*members.Group, error) {
	self, err := s.replica.member(kind, listens)
	if err != nil {
		return nil, err
	}
	g, err := members.New(members.Config{Engine: e, RuntimeURL: s.runtimeURL, Self: self, Log: p.named(kind)})
	if err != nil {
		return nil, err
	}
	p.tree.Add("members", g.Run)
	return g, nil
}

// joinOverNATS is join where the service has no other use of --nats-url.
func (p *process) joinOverNATS(ctx context.Context, s *runtimeSettings, kind, listens string) (*members.Group, error) {
	nats, err := p.openStore(ctx, "", s.natsURL, kind+" "+s.runtimeURL)
	if err != nil {
		return nil, err
	}
	return p.join(s, nats, kind, listens)
}

// dialMember connects with another replica.
func (p *process) dialMember(m members.Member) (*grpc.ClientConn, error) {
	var opts []grpc.DialOption
	if m.ServerName != "" {
		opts = append(opts, grpc.WithAuthority(m.ServerName))
	}
	return rpc.Dial(m.Addr, p.security, opts...)
}

// reach is dialMember for who closes it by itself.
func (p *process) reach(m members.Member) (grpc.ClientConnInterface, func(), error) {
	conn, err := p.dialMember(m)
	if err != nil {
		return nil, nil, err
	}
	return conn, func() { _ = conn.Close() }, nil
}

// leaveFirst adds what is said before anything else stops.
func (p *process) leaveFirst(name string, leave func()) {
	p.tree.Add(name, func(ctx context.Context) error {
		<-ctx.Done()
		leave()
		return nil
	})
}
