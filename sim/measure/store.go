package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/services/msgnode"
	"github.com/peerbus/peerbus/sim/cost"
	"github.com/peerbus/peerbus/sim/sample"
)

// storeWriters is how many writes are under way at once, as if so many runtimes
// opened at the replicas together.
const storeWriters = 64

// store measures a bucket at one server and at three.
func (m *measurement) store(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "peerbus-measure-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, b := range []struct {
		servers int
		cost    *cost.Bucket
	}{{1, &m.costs.Store.One}, {3, &m.costs.Store.Three}} {
		if err := m.bucket(ctx, dir, b.servers, b.cost); err != nil {
			return fmt.Errorf("%d servers: %w", b.servers, err)
		}
	}
	return nil
}

func (m *measurement) bucket(ctx context.Context, dir string, servers int, out *cost.Bucket) error {
	s, err := startNATS(dir, servers)
	if err != nil {
		return err
	}
	defer s.stop()
	e, err := s.open(ctx, servers)
	if err != nil {
		return err
	}
	defer e.Close()
	kv, err := openBucket(ctx, e, "measured")
	if err != nil {
		return err
	}
	n := m.scaled(30_000)
	if err := writeAll(ctx, kv, "warm", n/10); err != nil {
		return err
	}
	meter, err := newMeter(s.pids...)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := writeAll(ctx, kv, "plain", n); err != nil {
		return err
	}
	out.WritesPerSecond, out.Writers = float64(n)/time.Since(start).Seconds(), storeWriters
	cpu, _, err := meter.since(n)
	if err != nil {
		return err
	}
	leader := 0
	for i, c := range cpu {
		if c > cpu[leader] {
			leader = i
		}
	}
	out.LeaderCPU, out.FollowerCPU = cpu[leader], 0
	for i, c := range cpu {
		if i != leader {
			out.FollowerCPU += c / float64(len(cpu)-1)
		}
	}
	if servers == 1 {
		return m.watchers(ctx, s, kv, n, out.LeaderCPU)
	}
	return nil
}

// openBucket opens one like those of a node. A cluster needs a moment to have a
// leader.
func openBucket(ctx context.Context, e *engine.Engine, name string) (kv jetstream.KeyValue, err error) {
	for range 100 {
		kv, err = e.Bucket(ctx, jetstream.KeyValueConfig{Bucket: name, LimitMarkerTTL: time.Hour})
		if err == nil || ctx.Err() != nil {
			return kv, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return kv, err
}

// watchers measures what a watcher adds to a write.
func (m *measurement) watchers(ctx context.Context, s *nats, kv jetstream.KeyValue, n int, without float64) error {
	const number = 8
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	defer func() { cancel(); _ = g.Wait() }()
	for range number {
		e, err := s.open(ctx, 1)
		if err != nil {
			return err
		}
		defer e.Close()
		other, err := e.JetStream().KeyValue(ctx, "measured")
		if err != nil {
			return err
		}
		w, err := other.WatchAll(ctx, jetstream.UpdatesOnly())
		if err != nil {
			return err
		}
		g.Go(func() error {
			for range w.Updates() { // it only takes them
			}
			return nil
		})
		defer func() { _ = w.Stop() }()
	}
	meter, err := newMeter(s.pids...)
	if err != nil {
		return err
	}
	if err := writeAll(ctx, kv, "watched", n); err != nil {
		return err
	}
	cpu, _, err := meter.since(n)
	m.costs.Store.DeliverCPU = (cpu[0] - without) / number
	return err
}

// writeAll creates n keys with sessions, as a node does.
func writeAll(ctx context.Context, kv jetstream.KeyValue, prefix string, n int) error {
	model := msgnode.NewModel(msgnode.DefaultLimits())
	var g errgroup.Group
	g.SetLimit(storeWriters)
	for i := range n {
		w := session(model, i)[0]
		g.Go(func() error {
			_, err := kv.Create(ctx, prefix+w.Key, w.Value)
			return err
		})
	}
	return g.Wait()
}

// start fills the store of a domain, and measures a replica that reads it back.
func (m *measurement) start(ctx context.Context) error {
	d, err := m.startDomain(ctx, 1) // makes the buckets
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.nodes[0].Stop(); err != nil {
		return err
	}
	n := m.scaled(1_000_000)
	if err := m.fill(d, n); err != nil {
		return err
	}
	if err := quiet(ctx, d.nats.pids...); err != nil {
		return err
	}
	server, err := newMeter(d.nats.pids...)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := d.addNode(); err != nil {
		return err
	}
	c := &m.costs.Start
	c.Records, c.Seconds = n, time.Since(began).Seconds()
	if err := quiet(ctx, d.nodes[1].PID()); err != nil {
		return err
	}
	cpu, _, err := server.since(n)
	if err != nil {
		return err
	}
	c.NATSCPU = cpu[0]
	u, err := usageOf(d.nodes[1].PID())
	if err != nil {
		return err
	}
	c.CPU = micros(u.cpu) / float64(n)
	c.Bytes = (u.bytes - m.costs.Node.BaseBytes) / float64(n)
	c.Live, err = liveHeapOf(ctx, d.nodes[1])
	c.Live /= float64(n)
	return err
}

// fill writes records of each kind, in the shares that they have in a domain of
// runtimes with two hyperties: of sixteen records one is a session, eight are owners,
// five subscriptions, and two entries.
func (m *measurement) fill(d *domain, n int) error {
	s := &m.costs.Store
	model := msgnode.NewModel(msgnode.DefaultLimits())
	before, err := usageOf(d.nats.pids[0])
	if err != nil {
		return err
	}
	s.BaseBytes = before.bytes
	runtimes := max(n/16, 1)
	for _, kind := range []struct {
		bytes  *float64
		number int
		bucket string
		write  func(i int) msgnode.Write
	}{
		{&s.SessionBytes, runtimes, stateBucket, func(i int) msgnode.Write {
			w := session(model, i)[0]
			must(model.Apply(w))
			return w
		}},
		{&s.OwnerBytes, 8 * runtimes, stateBucket, func(i int) msgnode.Write {
			return model.Own(sample.URL(i/8), sample.Allocated(i/8, 8)[i%8])[0]
		}},
		{&s.SubscribeBytes, 5 * runtimes, stateBucket, func(i int) msgnode.Write {
			return model.Subscribe(sample.URL(i/5), append(sample.Subscribed(i/5), sample.Hyperty(i/5, 0))[i%5])[0]
		}},
		{&s.EntryBytes, 2 * runtimes, registryBucket, func(i int) msgnode.Write {
			w, err := model.Register(sample.URL(i/2), sample.Entry(i/2, i%2), time.Now())
			must(err)
			return w
		}},
	} {
		if *kind.bytes, err = d.publish(kind.bucket, kind.number, kind.write); err != nil {
			return err
		}
	}
	after, err := usageOf(d.nats.pids[0])
	s.MemoryBytes = (after.bytes - before.bytes) / float64(n)
	return err
}

// publish writes n records without waiting for each, and gives the bytes that one
// takes in the store.
func (d *domain) publish(bucket string, n int, write func(i int) msgnode.Write) (float64, error) {
	js, err := jetstream.New(d.engine.Conn(), jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		return 0, err
	}
	stream, err := js.Stream(d.ctx, "KV_"+bucket)
	if err != nil {
		return 0, err
	}
	before, err := stream.Info(d.ctx)
	if err != nil {
		return 0, err
	}
	for i := range n {
		w := write(i)
		if _, err := js.PublishAsync("$KV."+bucket+"."+w.Key, w.Value, jetstream.WithStallWait(time.Minute)); err != nil {
			return 0, err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
	after, err := stream.Info(d.ctx)
	if err != nil {
		return 0, err
	}
	return float64(after.State.Bytes-before.State.Bytes) / float64(n), nil
}
