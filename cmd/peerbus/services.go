package main

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// peers are the connections from one service of a runtime to the others. In an
// all-in-one they are one connection in memory.
type peers struct {
	bus, registry, p2pstub, nodestub grpc.ClientConnInterface
}

// openTimeout bounds the start of the store: reading back a large one takes a
// while on a slow disk.
const openTimeout = time.Minute

// openStore opens the NATS that a service keeps its state in. It is the first
// part of the tree, so it is closed last.
func (p *process) openStore(ctx context.Context, dir, url, name string) (*engine.Engine, error) {
	if url != "" {
		dir = ""
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	e, err := engine.Open(ctx, engine.Config{DataDir: dir, URL: url, Name: name, Replicas: p.replicas, Log: p.log})
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, e.Close)
	p.metrics.MustRegister(e.Metrics()...)
	return e, nil
}

// serviceExamples are of the services of one runtime.
var serviceExamples = map[string]string{
	"runtime": `  peerbus runtime --runtime-url hyperty-runtime://example.org/alice --node example.org=127.0.0.1:7400
  peerbus runtime --config /etc/peerbus/runtime.yaml --log-format json`,
	"registry": `  peerbus registry --runtime-url hyperty-runtime://example.org/alice --data-dir /var/lib/peerbus`,
	"bus":      `  peerbus bus --runtime-url hyperty-runtime://example.org/alice --registry-addr 127.0.0.1:7401`,
	"p2pstub": `  peerbus p2pstub --runtime-url hyperty-runtime://example.org/alice --ice-server stun:stun.example.org:3478
  peerbus p2pstub --runtime-url hyperty-runtime://example.org/alice --udp-port 3479 --advertise 192.0.2.1`,
	"nodestub": `  peerbus nodestub --runtime-url hyperty-runtime://example.org/alice --node example.org=127.0.0.1:7400`,
	"gateway":  `  peerbus gateway --runtime-url hyperty-runtime://example.org/alice --cors-origin https://app.example.org`,
}

// serviceMode makes the command of one service of a runtime.
func serviceMode(name, short string, flags func(*runtimeSettings, *cobra.Command), build func(context.Context, *process, *runtimeSettings) error) *cobra.Command {
	var s runtimeSettings
	c := &cobra.Command{
		Use: name, GroupID: groupServices, Short: short, Example: serviceExamples[name], Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.start(cmd, name, build)
		},
	}
	s.commonFlags(c.Flags())
	flags(&s, c)
	return c
}

// start puts a mode of a runtime together and runs it.
func (s *runtimeSettings) start(cmd *cobra.Command, name string, build func(context.Context, *process, *runtimeSettings) error) error {
	if _, err := s.validate(); err != nil {
		return err
	}
	log, err := s.logger(cmd, "runtime", s.runtimeURL)
	if err != nil {
		return err
	}
	p := newProcess(log, name, s.security)
	p.replicas = s.natsReplicas
	err = p.observe(&s.observe)
	if err == nil {
		err = build(cmd.Context(), p, s)
	}
	if err != nil {
		p.close()
		return notStarted(name, err)
	}
	return p.run(cmd.Context())
}

// notStarted says which mode could not be started, and where that is known, what to do.
func notStarted(mode string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fault.New(fault.CodeOf(err), "%s: %w; does one run already? The flags that end in -addr name other addresses", mode, err)
	}
	return fault.New(fault.CodeOf(err), "%s: %w", mode, err)
}

// dialPeers connects a single service with those of its runtime that its mode
// has an address for.
func (p *process) dialPeers(s *runtimeSettings) (peers, error) {
	var conns peers
	for _, c := range []struct {
		addr string
		conn *grpc.ClientConnInterface
		opts []grpc.DialOption
	}{
		{s.busAddr, &conns.bus, []grpc.DialOption{rpc.Spread()}}, {s.registryAddr, &conns.registry, nil},
		{s.p2pstubAddr, &conns.p2pstub, nil}, {s.nodestubAddr, &conns.nodestub, nil},
	} {
		if c.addr == "" {
			continue
		}
		conn, err := p.dial(c.addr, c.opts...)
		if err != nil {
			return conns, err
		}
		*c.conn = conn
	}
	return conns, nil
}

// serve adds the servers of a runtime's service.
func (p *process) serve(s *runtimeSettings, addrs ...string) error {
	if err := p.serveHTTP(s.httpAddr, nil); err != nil {
		return err
	}
	return p.serveGRPC(addrs...)
}
