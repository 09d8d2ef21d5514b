package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/services/nodestub"
)

// nodestubCommand holds the sessions with Message Nodes as a process of its own.
//
//	registry ──Deploy──► nodestub ──Attach──► bus
//	                        │
//	                        └─ gRPC or WebSocket ─► the Message Node of each domain
func nodestubCommand() *cobra.Command {
	return serviceMode("nodestub", "Run a runtime's Message Node stubs: its sessions with Message Nodes",
		func(s *runtimeSettings, c *cobra.Command) {
			s.nodestubFlag(c.Flags())
			s.busFlag(c.Flags())
			s.nodeFlags(c.Flags())
		},
		func(_ context.Context, p *process, s *runtimeSettings) error {
			conns, err := p.dialPeers(s)
			if err != nil {
				return err
			}
			if err := p.addNodeStub(s, conns); err != nil {
				return err
			}
			return p.serve(s, s.nodestubAddr)
		})
}

func (p *process) addNodeStub(s *runtimeSettings, conns peers) error {
	nodes, err := nodeMap(s.nodes)
	if err != nil {
		return err
	}
	tlsConfig, err := s.security.ClientTLS()
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.DialContext = tlsConfig, rpc.DialTCP
	p.closers = append(p.closers, transport.CloseIdleConnections)
	stub, err := nodestub.New(nodestub.Config{
		RuntimeURL: s.runtimeURL, Bus: conns.bus, Nodes: nodes, Security: s.security,
		HTTPClient: &http.Client{Transport: transport}, AllowPlain: s.allowHTTP,
		Log: p.named("nodestub"), Metrics: p.metrics, Tracer: p.tracer,
	})
	if err != nil {
		return err
	}
	p.add("nodestub", stub.Register, stub.Run)
	return nil
}
