package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/peerbus/peerbus/services/bus"
)

// busCommand is the data plane of a runtime as a process of its own.
//
//	applications, registry, p2pstub, nodestub ──Attach──► bus ──Routes──► registry
func busCommand() *cobra.Command {
	return serviceMode("bus", "Run a runtime's bus: listeners, and the messages between them",
		func(s *runtimeSettings, c *cobra.Command) {
			s.busFlag(c.Flags())
			s.registryFlag(c.Flags())
		},
		func(_ context.Context, p *process, s *runtimeSettings) error {
			conns, err := p.dialPeers(s)
			if err != nil {
				return err
			}
			if err := p.addBus(s, conns); err != nil {
				return err
			}
			return p.serve(s, s.busAddr)
		})
}

func (p *process) addBus(s *runtimeSettings, conns peers) error {
	b, err := bus.New(bus.Config{
		RuntimeURL: s.runtimeURL, Registry: conns.registry, Log: p.named("bus"), Metrics: p.metrics,
		Tracer: p.tracer,
	})
	if err != nil {
		return err
	}
	p.add("bus", b.Register, b.Run)
	return nil
}
