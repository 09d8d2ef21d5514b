package main

import (
	"context"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/sim/sample"
)

// clientsAtOnce is how many sessions do the same thing at a time.
const clientsAtOnce = 16

// domain is a Message Node of two replicas and what they store in.
type domain struct {
	ctx    context.Context
	nats   *nats
	engine *engine.Engine
	system *local.System
	nodes  []*local.Node
	dir    string
}

// startDomain runs so many replicas on one NATS server.
func (m *measurement) startDomain(ctx context.Context, replicas int) (d *domain, err error) {
	d = &domain{ctx: ctx}
	if d.dir, err = os.MkdirTemp("", "peerbus-measure-"); err != nil {
		return nil, err
	}
	d.system = local.New(local.Config{Binary: m.binary, Dir: d.dir, LogLevel: "error"})
	if d.nats, err = startNATS(d.dir, 1); err == nil {
		d.engine, err = d.nats.open(ctx, 1)
	}
	for i := 0; err == nil && i < replicas; i++ {
		err = d.addNode()
	}
	if err != nil {
		d.close()
	}
	return d, err
}

func (d *domain) addNode() error {
	n, err := d.system.StartNode(sample.Domain, "--nats-url", d.nats.url)
	if err != nil {
		return err
	}
	d.nodes = append(d.nodes, n)
	return n.Ready(d.ctx)
}

func (d *domain) close() {
	_ = d.system.Close() // what it did not end well does not change what was measured
	if d.engine != nil {
		d.engine.Close()
	}
	if d.nats != nil {
		d.nats.stop()
	}
	_ = os.RemoveAll(d.dir)
}

// pids of the nodes, then of NATS.
func (d *domain) pids() []int {
	var pids []int
	for _, n := range d.nodes {
		pids = append(pids, n.PID())
	}
	return append(pids, d.nats.pids...)
}

// metered gives what the nodes and NATS have used for each of the n times that do did
// something, once all is quiet again.
func (d *domain) metered(n int, do func() error) (cpu, bytes []float64, err error) {
	if err := quiet(d.ctx, d.pids()...); err != nil {
		return nil, nil, err
	}
	meter, err := newMeter(d.pids()...)
	if err != nil {
		return nil, nil, err
	}
	if err := do(); err != nil {
		return nil, nil, err
	}
	if err := quiet(d.ctx, d.pids()...); err != nil {
		return nil, nil, err
	}
	return meter.since(n)
}

// writes is the number of writes to a bucket so far.
func (d *domain) writes(bucket string) (uint64, error) {
	s, err := d.engine.JetStream().Stream(d.ctx, "KV_"+bucket)
	if err != nil {
		return 0, err
	}
	info, err := s.Info(d.ctx)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

const (
	stateBucket    = "msgnode-example_org-state"
	registryBucket = "msgnode-example_org-registry"
)

// each does something with every client, some at once.
func each(clients []*runtimeClient, do func(*runtimeClient) error) error {
	var g errgroup.Group
	g.SetLimit(clientsAtOnce)
	for _, c := range clients {
		g.Go(func() error { return do(c) })
	}
	return g.Wait()
}

// crowd connects n runtimes, whose numbers begin at first, by dial.
func crowd(ctx context.Context, first, n int, addr string, dial func(context.Context, int, string) (*runtimeClient, error)) ([]*runtimeClient, error) {
	clients := make([]*runtimeClient, n)
	var g errgroup.Group
	g.SetLimit(clientsAtOnce)
	for i := range clients {
		g.Go(func() (err error) {
			clients[i], err = dial(ctx, first+i, addr)
			return err
		})
	}
	return clients, g.Wait()
}

func hangUp(clients []*runtimeClient) {
	for _, c := range clients {
		if c != nil {
			c.close()
		}
	}
}
