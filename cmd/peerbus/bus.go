package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/services/bus"
)

// busCommand is the data plane of a runtime as a process of its own.
//
//	applications, registry, p2pstub, nodestub ──Attach──► bus ──Routes──► registry
//	                            other replicas ◄─Attach──► │
func busCommand() *cobra.Command {
	return serviceMode("bus", "Run a runtime's bus: listeners, and the messages between them",
		func(s *runtimeSettings, c *cobra.Command) {
			s.busFlag(c.Flags())
			c.Flags().Lookup(flagBusAddr).Usage = "`HOST:PORT` or unix:///PATH that the bus listens on"
			s.registryFlag(c.Flags())
			s.flowFlag(c.Flags())
			s.replicaFlags(c.Flags())
		},
		func(ctx context.Context, p *process, s *runtimeSettings) error {
			conns, err := p.dialPeers(s)
			if err != nil {
				return err
			}
			if s.natsURL != "" {
				return p.addBusReplica(ctx, s, conns)
			}
			if _, err := p.addBus(s, conns, nil); err != nil {
				return err
			}
			return p.serve(s, s.busAddr)
		})
}

// addBusReplica adds one of several buses. Before it stops, it has its clients attach
// to another one, and gives away what it keeps.
func (p *process) addBusReplica(ctx context.Context, s *runtimeSettings, conns peers) error {
	group, err := p.joinOverNATS(ctx, s, bus.Kind, s.busAddr)
	if err != nil {
		return err
	}
	b, err := p.addBus(s, conns, group)
	if err != nil {
		return err
	}
	if err := p.serve(s, s.busAddr); err != nil {
		return err
	}
	p.leaveFirst("hand over", func() {
		p.server.Leave()
		b.HandOver(context.Background())
	})
	return nil
}

// addBus adds the bus of a runtime, or one of its replicas.
func (p *process) addBus(s *runtimeSettings, conns peers, group *members.Group) (*bus.Bus, error) {
	cfg := bus.Config{
		RuntimeURL: s.runtimeURL, Registry: conns.registry, Log: p.named("bus"), Metrics: p.metrics,
		Tracer: p.tracer, NoFlows: !s.flows,
	}
	if group != nil {
		cfg.Replicas, cfg.Dial = group, p.dialMember
	}
	b, err := bus.New(cfg)
	if err != nil {
		return nil, err
	}
	p.add("bus", b.Register, b.Run)
	return b, nil
}
