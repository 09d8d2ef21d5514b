package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/services/gateway"
)

// gatewayCommand is the door for HTTP as a process of its own.
//
//	curl, browser, script ──HTTP──► gateway ──► bus, registry
func gatewayCommand() *cobra.Command {
	return serviceMode("gateway", "Run a runtime's gateway: REST, Server-Sent Events and WebSocket",
		func(s *runtimeSettings, c *cobra.Command) {
			s.busFlag(c.Flags())
			s.registryFlag(c.Flags())
			s.gatewayFlags(c.Flags())
		},
		func(_ context.Context, p *process, s *runtimeSettings) error {
			if s.httpAddr == "" {
				return fault.New(fault.BadRequest, "http-addr is missing: a gateway serves there").In(flagHTTPAddr)
			}
			conns, err := p.dialPeers(s)
			if err != nil {
				return err
			}
			if err := p.addGateway(s, conns); err != nil {
				return err
			}
			p.tree.Add("readiness", p.health.serve)
			return nil
		})
}

// addGateway adds a gateway and its HTTP server. Its streams end before the server
// waits for them.
func (p *process) addGateway(s *runtimeSettings, conns peers) error {
	g, err := gateway.New(gateway.Config{
		Bus: conns.bus, Registry: conns.registry, Origins: s.origins,
		Monitoring: p.monitoring(), Metrics: p.metrics, Log: p.named("gateway"),
	})
	if err != nil {
		return err
	}
	if err := p.serveHTTP(s.httpAddr, g.Handler()); err != nil {
		return err
	}
	p.tree.Add("gateway", g.Run)
	p.health.need(g.Ready)
	return nil
}
