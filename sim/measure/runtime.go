package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/sim/sample"
)

// runtime measures a runtime of one process each, with others around it.
func (m *measurement) runtime(ctx context.Context) error {
	d, err := m.startDomain(ctx, 1)
	if err != nil {
		return err
	}
	defer d.close()
	hub, err := m.startWrites(d)
	if err != nil {
		return err
	}
	mate, err := d.start("mate", local.Separate)
	if err != nil {
		return err
	}
	if err := m.addresses(d, hub, mate); err != nil {
		return fmt.Errorf("addresses: %w", err)
	}
	if err := m.direct(d, hub, mate); err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	return m.connections(d)
}

// start runs a runtime until it is at rest.
func (d *domain) start(id string, layout local.Layout) (*local.Runtime, error) {
	r, err := d.system.StartRuntime(id, layout, d.nodes[:1])
	if err != nil {
		return nil, err
	}
	return r, r.Ready(d.ctx)
}

// startWrites counts what a runtime and its hyperties write at the Message Node.
func (m *measurement) startWrites(d *domain) (*local.Runtime, error) {
	c := &m.costs.Runtime
	before, err := d.written()
	if err != nil {
		return nil, err
	}
	hub, err := d.start("hub", local.Separate)
	if err != nil {
		return nil, err
	}
	started, err := d.writtenWhenStill()
	if err != nil {
		return hub, err
	}
	const hyperties = 4
	for i := range hyperties {
		if err := register(d.ctx, hub, i); err != nil {
			return hub, err
		}
	}
	registered, err := d.writtenWhenStill()
	c.StartWrites, c.HypertyWrites = float64(started-before), float64(registered-started)/hyperties
	return hub, err
}

func register(ctx context.Context, r *local.Runtime, i int) error {
	_, err := pb.NewRegistryClient(r.Registry).Register(ctx, &pb.RegisterRequest{
		Registration: &pb.Registration{Url: hyperty(r, i)},
	})
	return err
}

func hyperty(r *local.Runtime, i int) string {
	return fmt.Sprintf("hyperty://%s/%s-%d", sample.Domain, r.URL[len(r.URL)-3:], i)
}

// written is the number of writes to both buckets.
func (d *domain) written() (uint64, error) {
	state, err := d.writes(stateBucket)
	if err != nil {
		return 0, err
	}
	registry, err := d.writes(registryBucket)
	return state + registry, err
}

// writtenWhenStill waits until nothing more is written.
func (d *domain) writtenWhenStill() (uint64, error) {
	const still = 1500 * time.Millisecond
	last, err := d.written()
	for err == nil {
		select {
		case <-time.After(still):
		case <-d.ctx.Done():
			return 0, d.ctx.Err()
		}
		var now uint64
		if now, err = d.written(); now == last {
			break
		}
		last = now
	}
	return last, err
}

// addresses measures what a runtime keeps of another one's hyperties.
func (m *measurement) addresses(d *domain, hub, mate *local.Runtime) error {
	n := m.scaled(5000)
	var g errgroup.Group
	g.SetLimit(clientsAtOnce)
	for i := range n {
		g.Go(func() error { return register(d.ctx, mate, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	registry, bus := hub.Processes["registry"].PID(), hub.Processes["bus"].PID()
	before, err := settled(d.ctx, registry, bus)
	if err != nil {
		return err
	}
	if err := connect(d.ctx, hub, hyperty(mate, 0)); err != nil {
		return err
	}
	learned, err := settled(d.ctx, registry, bus)
	if err != nil {
		return err
	}
	m.costs.Runtime.RegistryBytes = (learned[0].bytes - before[0].bytes) / float64(n)
	if err := m.routes(d.ctx, hub, mate, n); err != nil {
		return err
	}
	routed, err := settled(d.ctx, registry, bus)
	m.costs.Runtime.BusBytes = (routed[1].bytes - learned[1].bytes) / float64(n)
	return err
}

// settled gives what processes use once they are quiet.
func settled(ctx context.Context, pids ...int) ([]usage, error) {
	if err := quiet(ctx, pids...); err != nil {
		return nil, err
	}
	all := make([]usage, len(pids))
	for i, p := range pids {
		var err error
		if all[i], err = usageOf(p); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// connect has a runtime set up a connection, and waits until it is live.
func connect(ctx context.Context, from *local.Runtime, to string) error {
	r := pb.NewRegistryClient(from.Registry)
	for {
		resp, err := r.Connect(ctx, &pb.ConnectRequest{Address: to})
		if err != nil {
			return err
		}
		if resp.Connection.State == pb.ConnectionState_CONNECTION_STATE_LIVE {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fault.New(fault.Timeout, "the connection with %s is not live but %s", to, resp.Connection.State)
		}
	}
}

// attached runs an attachment to a runtime's bus while do does.
func attached(ctx context.Context, r *local.Runtime, do func(context.Context, *client.Bus) error) error {
	bus, err := client.New(client.Config{Conn: r.Bus, Name: "measure"})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error { return bus.Run(ctx) })
	err = do(ctx, bus)
	cancel()
	_ = g.Wait() // it ends with its context
	return err
}

// between attaches at both ends, where the second one takes all that comes.
func between(ctx context.Context, from, to *local.Runtime, addresses []string, do func(context.Context, *client.Bus) error) error {
	return attached(ctx, to, func(ctx context.Context, receiver *client.Bus) error {
		for _, a := range addresses {
			if _, err := receiver.Listen(ctx, a, func(context.Context, *pb.Message) {}); err != nil {
				return err
			}
		}
		return attached(ctx, from, do)
	})
}

// routes has the bus of from learn a route to each of n hyperties.
func (m *measurement) routes(ctx context.Context, from, to *local.Runtime, n int) error {
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = hyperty(to, i)
	}
	return between(ctx, from, to, addresses, func(ctx context.Context, bus *client.Bus) error {
		var g errgroup.Group
		g.SetLimit(clientsAtOnce)
		for _, a := range addresses {
			g.Go(func() error { return post(ctx, bus, a, 8) })
		}
		return g.Wait()
	})
}

func post(ctx context.Context, bus *client.Bus, to string, size int) error {
	return bus.Post(ctx, &pb.Message{
		Type: message.Create, To: to, Body: message.MarshalBody(map[string]string{"value": string(zeros(size))}),
	}, client.Delivered())
}

// direct measures messages over the data channel.
func (m *measurement) direct(d *domain, hub, mate *local.Runtime) error {
	c := &m.costs.Runtime
	c.MessageBytes = m.costs.Node.MessageBytes
	n := m.scaled(40_000)
	to := hyperty(mate, 0)
	pids := []int{
		hub.Processes["bus"].PID(), mate.Processes["bus"].PID(),
		hub.Processes["p2pstub"].PID(), mate.Processes["p2pstub"].PID(),
	}
	return between(d.ctx, hub, mate, []string{to}, func(ctx context.Context, bus *client.Bus) error {
		meter, err := newMeter(pids...)
		if err != nil {
			return err
		}
		var g errgroup.Group
		g.SetLimit(2 * clientsAtOnce)
		for range n {
			g.Go(func() error { return post(ctx, bus, to, c.MessageBytes) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		cpu, _, err := meter.since(n)
		if err != nil {
			return err
		}
		c.BusCPU, c.P2PStubCPU = cpu[0]+cpu[1], cpu[2]+cpu[3]
		return nil
	})
}

// connections measures peer connections that nothing is sent over, at a runtime that
// has done nothing else.
func (m *measurement) connections(d *domain) error {
	c := &m.costs.Runtime
	c.Connections = m.scaled(24)
	host, err := d.start("host", local.Separate)
	if err != nil {
		return err
	}
	if err := register(d.ctx, host, 0); err != nil {
		return err
	}
	others := make([]*local.Runtime, c.Connections)
	for i := range others {
		if others[i], err = d.start(fmt.Sprintf("other-%d", i), local.AllInOne); err != nil {
			return err
		}
	}
	before, err := d.writtenWhenStill()
	if err != nil {
		return err
	}
	alone, err := idle(d.ctx, host)
	if err != nil {
		return err
	}
	for _, r := range others {
		if err := connect(d.ctx, r, hyperty(host, 0)); err != nil {
			return err
		}
	}
	after, err := d.writtenWhenStill()
	if err != nil {
		return err
	}
	connected, err := idle(d.ctx, host)
	n := float64(c.Connections)
	c.ConnectionWrites = float64(after-before) / n
	c.ConnectionCPU = micros(connected.cpu-alone.cpu) / n
	c.ConnectionBytes = (connected.bytes - alone.bytes) / n
	return err
}

// idle gives what a p2pstub takes in a second in which nothing happens.
func idle(ctx context.Context, r *local.Runtime) (usage, error) {
	const seconds = 10
	stub := r.Processes["p2pstub"].PID()
	before, err := usageOf(stub)
	if err != nil {
		return usage{}, err
	}
	select {
	case <-time.After(seconds * time.Second):
	case <-ctx.Done():
		return usage{}, ctx.Err()
	}
	after, err := usageOf(stub)
	return usage{(after.cpu - before.cpu) / seconds, after.bytes}, err
}
