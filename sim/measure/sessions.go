package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/sim/sample"
)

// node measures sessions, the domain registry and relaying, at two replicas: the
// first has the sessions, the second sees the writes.
func (m *measurement) node(ctx context.Context) error {
	d, err := m.startDomain(ctx, 2)
	if err != nil {
		return err
	}
	defer d.close()
	if err := quiet(ctx, d.pids()...); err != nil {
		return err
	}
	base, err := usageOf(d.nodes[0].PID())
	if err != nil {
		return err
	}
	m.costs.Node.BaseBytes = base.bytes
	n := m.scaled(3000)
	clients, err := m.opens(d, n)
	defer hangUp(clients)
	if err != nil {
		return err
	}
	if err := m.returns(d, clients); err != nil {
		return err
	}
	if err := m.entries(d, clients); err != nil {
		return err
	}
	if err := m.webSockets(d, n); err != nil {
		return err
	}
	return m.relays(d)
}

// opens measures connecting and opening, over gRPC.
func (m *measurement) opens(d *domain, n int) ([]*runtimeClient, error) {
	c := &m.costs.Node
	before, err := d.writes(stateBucket)
	if err != nil {
		return nil, err
	}
	var clients []*runtimeClient
	cpu, bytes, err := d.metered(n, func() (err error) {
		clients, err = crowd(d.ctx, 0, n, d.nodes[0].GRPCAddr, dialGRPC)
		if err != nil {
			return err
		}
		return each(clients, (*runtimeClient).open)
	})
	if err != nil {
		return clients, err
	}
	after, err := d.writes(stateBucket)
	c.OpenWrites = float64(after-before) / float64(n)
	c.OpenCPU, c.ApplyCPU = cpu[0], cpu[1]/c.OpenWrites
	c.GRPCSessionBytes = bytes[0] - bytes[1] // the second has the records alone
	return clients, err
}

// returns measures connections that are lost, and sessions re-opened with the token;
// then a subscription.
func (m *measurement) returns(d *domain, clients []*runtimeClient) error {
	c := &m.costs.Node
	before, err := d.writes(stateBucket)
	if err != nil {
		return err
	}
	cpu, _, err := d.metered(len(clients), func() error {
		return each(clients, func(r *runtimeClient) error {
			r.close()
			again, err := dialGRPC(d.ctx, r.number, d.nodes[0].GRPCAddr)
			if err != nil {
				return err
			}
			again.token = r.token
			*r = *again
			return r.open()
		})
	})
	if err != nil {
		return err
	}
	after, err := d.writes(stateBucket)
	if err != nil {
		return err
	}
	c.ReturnCPU, c.ReturnWrites = cpu[0], float64(after-before)/float64(len(clients))
	cpu, _, err = d.metered(len(clients), func() error {
		return each(clients, func(r *runtimeClient) error { return r.subscribe(sample.Hyperty(r.number, 0)) })
	})
	if err != nil {
		return err
	}
	c.SubscribeCPU = cpu[0]
	return nil
}

// entries measures the domain registry.
func (m *measurement) entries(d *domain, clients []*runtimeClient) error {
	c := &m.costs.Node
	for _, step := range []struct {
		cost *float64
		do   func(*runtimeClient) error
	}{
		{&c.RegisterCPU, func(r *runtimeClient) error {
			return r.registry(message.Create, "", sample.Entry(r.number, 0))
		}},
		{&c.RefreshCPU, func(r *runtimeClient) error { return r.registry(message.Update, sample.Hyperty(r.number, 0), nil) }},
		{&c.LookupCPU, func(r *runtimeClient) error { return r.registry(message.Read, sample.Hyperty(r.number, 0), nil) }},
	} {
		cpu, _, err := d.metered(len(clients), func() error { return each(clients, step.do) })
		if err != nil {
			return err
		}
		*step.cost = cpu[0]
	}
	return nil
}

// webSockets measures the memory of a session over the other transport.
func (m *measurement) webSockets(d *domain, n int) error {
	var clients []*runtimeClient
	defer func() { hangUp(clients) }()
	_, bytes, err := d.metered(n, func() (err error) {
		clients, err = crowd(d.ctx, n, n, d.nodes[1].HTTPAddr, dialWebSocket)
		if err != nil {
			return err
		}
		return each(clients, (*runtimeClient).open)
	})
	m.costs.Node.WebSocketSessionBytes = bytes[1] - bytes[0]
	return err
}

// relays measures messages between two sessions.
func (m *measurement) relays(d *domain) error {
	c := &m.costs.Node
	c.MessageBytes = 512
	const base = 1_000_000 // beyond all other runtimes
	near, far := d.nodes[0], d.nodes[1]
	var clients []*runtimeClient
	defer func() { hangUp(clients) }()
	for i, dial := range []func() (*runtimeClient, error){
		func() (*runtimeClient, error) { return dialGRPC(d.ctx, base, near.GRPCAddr) },
		func() (*runtimeClient, error) { return dialGRPC(d.ctx, base+1, near.GRPCAddr) },
		func() (*runtimeClient, error) { return dialGRPC(d.ctx, base+2, far.GRPCAddr) },
		func() (*runtimeClient, error) { return dialWebSocket(d.ctx, base+3, near.HTTPAddr) },
		func() (*runtimeClient, error) { return dialWebSocket(d.ctx, base+4, near.HTTPAddr) },
	} {
		r, err := dial()
		if err != nil {
			return err
		}
		clients = append(clients, r)
		if err := clients[i].open(); err != nil {
			return err
		}
	}
	n := m.scaled(60_000)
	cpu, _, err := d.metered(n, func() error { return traffic(clients[0], clients[1], n, c.MessageBytes) })
	if err != nil {
		return err
	}
	c.RelayCPU = cpu[0]
	cpu, _, err = d.metered(n, func() error { return traffic(clients[0], clients[2], n, c.MessageBytes) })
	if err != nil {
		return err
	}
	c.HopOutCPU, c.HopInCPU, c.HopNATSCPU = cpu[0], cpu[1], cpu[2]
	cpu, _, err = d.metered(n, func() error { return traffic(clients[3], clients[4], n, c.MessageBytes) })
	c.RelayWebSocketCPU = cpu[0]
	return err
}

// window is how many messages are under way, below the bound of a relay queue.
const window = 64

// traffic sends n messages one way, each batch when the one before has come.
func traffic(from, to *runtimeClient, n, size int) error {
	m := &pb.Message{
		Id: message.StringID("m"), Type: message.Create, From: from.own("/sm"), To: to.own("/sm"),
		Body: message.MarshalBody(map[string]string{"value": string(zeros(size))}),
	}
	arrived := make(chan struct{}, window)
	var g errgroup.Group
	g.Go(func() error {
		for range n {
			if _, err := to.next(); err != nil {
				return err
			}
			arrived <- struct{}{}
		}
		return nil
	})
	for sent := range n {
		if sent >= window {
			<-arrived
		}
		if err := from.send(m); err != nil {
			return err
		}
	}
	return g.Wait()
}

func zeros(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0'
	}
	return b
}
