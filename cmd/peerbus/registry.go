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
//	                   ├─Deploy──► p2pstub
//	                   └─Deploy──► nodestub
func registryCommand() *cobra.Command {
	return serviceMode("registry", "Run a runtime's registry: resolution, registrations, the p2pConnection table",
		func(s *runtimeSettings, c *cobra.Command) {
			s.registryFlag(c.Flags())
			s.busFlag(c.Flags())
			s.p2pstubFlag(c.Flags())
			s.nodestubFlag(c.Flags())
			s.storeFlags(c.Flags())
		},
		func(ctx context.Context, p *process, s *runtimeSettings) error {
			conns, err := p.dialPeers(s)
			if err != nil {
				return err
			}
			if err := p.addRegistry(ctx, s, conns); err != nil {
				return err
			}
			return p.serve(s, s.registryAddr)
		})
}

func (p *process) addRegistry(ctx context.Context, s *runtimeSettings, conns peers) error {
	wanted, err := registry.ParseWanted(s.p2p)
	if err != nil {
		return err
	}
	dir, err := storeDir(s.dataDir, "registry", s.runtimeURL)
	if err != nil {
		return err
	}
	store, err := p.openStore(ctx, dir, s.natsURL, "registry "+s.runtimeURL)
	if err != nil {
		return err
	}
	r, err := registry.New(registry.Config{
		RuntimeURL: s.runtimeURL, Policy: registry.Policy{P2P: wanted, HideChanges: s.hideChanges}, Engine: store, Bus: conns.bus,
		P2PStub: pb.NewP2PStubClient(conns.p2pstub), NodeStub: pb.NewNodeStubClient(conns.nodestub),
		Log: p.named("registry"), Metrics: p.metrics, Version: version,
	})
	if err != nil {
		return err
	}
	p.add("registry", r.Serve, r.Run)
	return nil
}
