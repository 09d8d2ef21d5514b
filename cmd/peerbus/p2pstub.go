package main

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/services/p2pstub"
)

// p2pstubCommand keeps the peer connections of a runtime as a process of its
// own.
//
//	registry ──Deploy──► p2pstub ──Attach──► bus
//	                        ║
//	                        ╚═ WebRTC ═► other runtimes
func p2pstubCommand() *cobra.Command {
	return serviceMode("p2pstub", "Run a runtime's P2P stubs: its WebRTC connections with other runtimes",
		func(s *runtimeSettings, c *cobra.Command) {
			s.p2pstubFlag(c.Flags())
			s.busFlag(c.Flags())
			s.webrtcFlags(c.Flags())
			s.replicaFlags(c.Flags())
		},
		func(ctx context.Context, p *process, s *runtimeSettings) error {
			conns, err := p.dialPeers(s)
			if err != nil {
				return err
			}
			if s.natsURL != "" {
				return p.addP2PStubReplica(ctx, s, conns)
			}
			if _, err := p.addP2PStub(s, conns, ""); err != nil {
				return err
			}
			return p.serve(s, s.p2pstubAddr)
		})
}

// addP2PStubReplica adds one of several, which the registry finds. It hands over what
// it has before it stops.
func (p *process) addP2PStubReplica(ctx context.Context, s *runtimeSettings, conns peers) error {
	group, err := p.joinOverNATS(ctx, s, p2pstub.Kind, s.p2pstubAddr)
	if err != nil {
		return err
	}
	stub, err := p.addP2PStub(s, conns, group.Self().ID)
	if err != nil {
		return err
	}
	if err := p.serve(s, s.p2pstubAddr); err != nil {
		return err
	}
	p.leaveFirst("connections", func() {
		group.Leave()
		stub.Leave()
	})
	return nil
}

// addP2PStub adds the p2pstub of a runtime, or a replica of it.
func (p *process) addP2PStub(s *runtimeSettings, conns peers, replica string) (*p2pstub.Stub, error) {
	servers, err := parseICEServers(s.iceServers)
	if err == nil {
		err = checkPaths(s.paths)
	}
	if err != nil {
		return nil, err
	}
	var advertise []netip.Addr
	for _, text := range s.advertise {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fault.New(fault.BadRequest, "advertise: %w", err)
		}
		advertise = append(advertise, ip)
	}
	stub, err := p2pstub.New(p2pstub.Config{
		RuntimeURL: s.runtimeURL, Replica: replica, Bus: conns.bus, ICEServers: servers, UDPPort: s.udpPort, AdvertiseIPs: advertise, Limits: s.paths,
		Log: p.named("p2pstub"), Metrics: p.metrics, Tracer: p.tracer,
	})
	if err != nil {
		return nil, err
	}
	p.add("p2pstub", stub.Register, stub.Run)
	return stub, nil
}

// pathFlags say when a path is given up, and when a connection is replaced.
func pathFlags(f *pflag.FlagSet, l *p2pstub.Limits) {
	d := p2pstub.DefaultLimits()
	f.DurationVar(&l.Quiet, "quiet-after", d.Quiet, "silence after which a direct connection over which messages go is given up for the Message Node, and another path is sought; one without is after 30s")
	f.DurationVar(&l.Age, "replace-after", d.Age, "age at which a direct connection is replaced by a new one, without a pause")
	f.Uint64Var(&l.Records, "replace-after-records", d.Records, "DTLS records after which it is, at most 2^24")
}

// checkPaths refuses what would harm.
func checkPaths(l p2pstub.Limits) error {
	const leastQuiet = 400 * time.Millisecond
	switch {
	case l.Quiet < leastQuiet:
		return fault.New(fault.BadRequest, "quiet-after %v: want at least %v, or busy machines lose connections that work", l.Quiet, leastQuiet)
	case l.Age <= 0:
		return fault.New(fault.BadRequest, "replace-after %v: want a time above 0", l.Age)
	case l.Records == 0 || l.Records > 1<<24:
		return fault.New(fault.BadRequest, "replace-after-records %d: want 1 to %d", l.Records, 1<<24)
	}
	return nil
}

// parseICEServers takes `URL[,USER,SECRET]` apart.
func parseICEServers(texts []string) ([]p2pstub.ICEServer, error) {
	var servers []p2pstub.ICEServer
	for _, text := range texts {
		parts := strings.SplitN(text, ",", 3)
		server := p2pstub.ICEServer{URL: parts[0]}
		if len(parts) == 3 {
			server.User, server.Secret = parts[1], parts[2]
		}
		if !server.Usable() || len(parts) == 2 {
			return nil, fault.New(fault.BadRequest, "ice-server %q: want stun:HOST:PORT, or turn:HOST:PORT,USER,SECRET", parts[0])
		}
		servers = append(servers, server)
	}
	return servers, nil
}
