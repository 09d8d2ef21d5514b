package main

import (
	"context"

	"github.com/spf13/cobra"
)

// runtimeCommand is a whole runtime in one process, from the same constructors
// as the single services. They meet in memory, and each is served at its own
// address besides.
//
//	                     ┌──────────── memory server ───────────┐
//	applications ──gRPC─►│ bus ◄─► registry ─► p2pstub, nodestub │
//	                     └─▲─▲──────────────────────│───────│───┘
//	curl, browser ─HTTP─► gateway ◄── Attach ───────┴───────┘
func runtimeCommand() *cobra.Command {
	return serviceMode("runtime", "Run a runtime in one process: registry, bus, p2pstub, nodestub and gateway",
		func(s *runtimeSettings, c *cobra.Command) {
			s.registryFlag(c.Flags())
			s.busFlag(c.Flags())
			s.flowFlag(c.Flags())
			s.p2pstubFlag(c.Flags())
			s.nodestubFlag(c.Flags())
			c.Flags().StringVar(&s.grpcAddr, "grpc-addr", "", "`HOST:PORT` or unix:///PATH of all four, in place of one for each")
			s.gatewayFlags(c.Flags())
			s.storeFlags(c.Flags())
			s.webrtcFlags(c.Flags())
			s.nodeFlags(c.Flags())
		}, buildRuntime)
}

func buildRuntime(ctx context.Context, p *process, s *runtimeSettings) error {
	addrs := []string{s.registryAddr, s.busAddr, s.p2pstubAddr, s.nodestubAddr}
	if s.grpcAddr != "" {
		addrs = []string{s.grpcAddr}
	}
	conn, err := p.memory()
	if err != nil {
		return err
	}
	conns := peers{bus: conn, registry: conn, p2pstub: conn, nodestub: conn}
	if _, err := p.addBus(s, conns, nil); err != nil {
		return err
	}
	if err := p.addNodeStub(s, conns); err != nil {
		return err
	}
	if err := p.addRegistry(ctx, s, conns); err != nil {
		return err
	}
	if _, err := p.addP2PStub(s, conns, ""); err != nil {
		return err
	}
	if s.httpAddr != "" {
		if err := p.addGateway(s, conns); err != nil {
			return err
		}
	}
	return p.serveGRPC(addrs...)
}
