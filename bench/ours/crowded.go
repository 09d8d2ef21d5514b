package ours

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/peerbus/peerbus/bench/internal/worker"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/services/bus"
	"github.com/peerbus/peerbus/services/nodestub"
	"github.com/peerbus/peerbus/services/p2pstub"
	"github.com/peerbus/peerbus/services/registry"
)

// CrowdedRole is a process with many runtimes, each of the services as they are in a
// runtime of its own, which share the store and nothing else. They are the other ends of
// what is measured.
const CrowdedRole = "runtimes"

// DoConnect has runtimes started that each set up a connection: Callers →.
const DoConnect = "connect"

// CrowdedConfig of the process.
type CrowdedConfig struct {
	Node string // HOST:PORT of the Message Node's gRPC
	Dir  string // of the store
}

// Callers are runtimes First, First+1, …, so many, and whom they connect to.
type Callers struct {
	First, Number int
	To            string // an address of the other runtime
}

// crowded is the Role at work.
type crowded struct {
	cfg   CrowdedConfig
	ctx   context.Context // of all runtimes
	store *engine.Engine
}

// NewCrowded is the Role.
func NewCrowded(ctx context.Context, cfg CrowdedConfig) (worker.Ops, error) {
	store, err := engine.Open(ctx, engine.Config{DataDir: cfg.Dir, Name: "runtimes", Log: quiet})
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, store.Close)
	c := &crowded{cfg, ctx, store}
	return worker.Ops{DoConnect: worker.Do(func(ctx context.Context, all Callers) (any, error) { return nil, c.connect(ctx, all) })}, nil
}

// connect is over when all connections are live. What the set-ups took is given back then,
// so that there is room on the machine for the other side.
func (c *crowded) connect(ctx context.Context, all Callers) error {
	defer debug.FreeOSMemory()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(startsAtOnce)
	for i := range all.Number {
		g.Go(func() error {
			url := runtimeURL(fmt.Sprint("other-", all.First+i))
			conn, err := c.start(url)
			if err != nil {
				return err
			}
			r := peerbusv1.NewRegistryClient(conn)
			if err := local.WaitReady(ctx, url, r); err != nil {
				return err
			}
			return connectBy(ctx, r, all.To)
		})
	}
	return g.Wait()
}

var quiet = slog.New(slog.DiscardHandler)

// memoryBuffer is the size in bytes of a runtime's connection to itself: what travels
// there is a few hundred bytes.
const memoryBuffer = 16 << 10

// start runs a runtime until the process ends, and gives the connection to its services.
func (c *crowded) start(url string) (*grpc.ClientConn, error) {
	lis := bufconn.Listen(memoryBuffer)
	conn, err := grpc.NewClient("passthrough:///memory", append(rpc.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))...)
	if err != nil {
		return nil, err
	}
	srv, err := rpc.NewServer(rpc.Security{}, quiet)
	if err != nil {
		return nil, err
	}
	var tree run.Tree
	tree.Add("server", func(ctx context.Context) error { return rpc.Serve(ctx, srv, lis) })
	if err := c.add(url, conn, srv, &tree); err != nil {
		return nil, err
	}
	go func() { _ = tree.Run(c.ctx) }() // its end is that of the process
	return conn, nil
}

// add makes the services of a runtime.
func (c *crowded) add(url string, conn *grpc.ClientConn, srv *rpc.Server, tree *run.Tree) error {
	b, err := bus.New(bus.Config{RuntimeURL: url, Registry: conn, Log: quiet})
	if err != nil {
		return err
	}
	n, err := nodestub.New(nodestub.Config{RuntimeURL: url, Bus: conn, Nodes: map[string][]string{domainName: {c.cfg.Node}}, Log: quiet})
	if err != nil {
		return err
	}
	r, err := registry.New(registry.Config{
		RuntimeURL: url, Bus: conn, Engine: c.store, Log: quiet,
		P2PStub: peerbusv1.NewP2PStubClient(conn), NodeStub: peerbusv1.NewNodeStubClient(conn),
	})
	if err != nil {
		return err
	}
	p, err := p2pstub.New(p2pstub.Config{RuntimeURL: url, Bus: conn, AdvertiseIPs: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, Log: quiet})
	if err != nil {
		return err
	}
	for _, s := range []struct {
		name     string
		register func(grpc.ServiceRegistrar)
		life     run.Func
	}{{"bus", b.Register, b.Run}, {"nodestub", n.Register, n.Run}, {"registry", r.Serve, r.Run}, {"p2pstub", p.Register, p.Run}} {
		s.register(srv)
		tree.Add(s.name, s.life)
	}
	return nil
}

// oneFailed says which of the processes could not do it.
func oneFailed(number int, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.CodeOf(err), "process %d of the other runtimes: %w", number, err)
}
