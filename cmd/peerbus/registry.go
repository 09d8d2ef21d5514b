package main

import (
	"context"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/services/registry"
)

// registryCommand is the control plane of a runtime as a process of its own.
//
//	bus ──Routes──► registry ──► store (NATS, JetStream)
//	bus ◄─Attach──     │
//	                   ├─Deploy──► p2pstub, or its replicas
//	                   └─Deploy──► nodestub
func registryCommand() *cobra.Command {
	return serviceMode("registry", "Run a runtime's registry: resolution, registrations, the p2pConnection table",
		func(s *runtimeSettings, c *cobra.Command) {
			s.registryFlag(c.Flags())
			s.busFlag(c.Flags())
			s.p2pstubFlag(c.Flags())
			s.nodestubFlag(c.Flags())
			s.storeFlags(c.Flags())
			s.replicaFlags(c.Flags())
		},
		func(ctx context.Context, p *process, s *runtimeSettings) error {
			conns, err := p.dialPeers(s)
			if err != nil {
				return err
			}
			add := p.addRegistry
			if s.natsURL != "" {
				add = p.addRegistryReplica
			}
			if err := add(ctx, s, conns); err != nil {
				return err
			}
			return p.serve(s, s.registryAddr)
		})
}

// addRegistry adds the only registry of a runtime.
func (p *process) addRegistry(ctx context.Context, s *runtimeSettings, conns peers) error {
	cfg, err := p.registryConfig(ctx, s, conns)
	if err != nil {
		return err
	}
	r, err := registry.New(cfg)
	if err != nil {
		return err
	}
	p.add("registry", r.Serve, r.Run)
	return nil
}

// addRegistryReplica adds one of several. The P2P stubs are those that announce
// themselves, unless one is named.
func (p *process) addRegistryReplica(ctx context.Context, s *runtimeSettings, conns peers) error {
	cfg, err := p.registryConfig(ctx, s, conns)
	if err != nil {
		return err
	}
	if !s.p2pstubGiven() {
		cfg.P2PStub = nil
	}
	cfg.Dial = p.reach
	if cfg.Group, err = p.join(s, cfg.Engine, registry.Kind, s.registryAddr); err != nil {
		return err
	}
	r, err := registry.NewReplica(cfg)
	if err != nil {
		return err
	}
	p.add("registry", r.Serve, r.Run)
	return nil
}

func (p *process) registryConfig(ctx context.Context, s *runtimeSettings, conns peers) (registry.Config, error) {
	wanted, err := registry.ParseWanted(s.p2p)
	if err != nil {
		return registry.Config{}, err
	}
	dir, err := storeDir(s.dataDir, "registry", s.runtimeURL)
	if err != nil {
		return registry.Config{}, err
	}
	store, err := p.openStore(ctx, dir, s.natsURL, "registry "+s.runtimeURL)
	if err != nil {
		return registry.Config{}, err
	}
	return registry.Config{
		RuntimeURL: s.runtimeURL, Policy: registry.Policy{P2P: wanted, HideChanges: s.hideChanges}, Engine: store, Bus: conns.bus,
		P2PStub: pb.NewP2PStubClient(conns.p2pstub), NodeStub: pb.NewNodeStubClient(conns.nodestub),
		Log: p.named("registry"), Metrics: p.metrics, Version: version,
	}, nil
}
