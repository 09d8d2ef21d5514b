package ours

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// domainName is that of what runs here.
const domainName = "bench.example"

// startTime bounds the start of all processes, and of a connection.
const startTime = 60 * time.Second

// Program says which peerbus is measured.
type Program struct {
	Binary string
	Layout local.Layout
	// Profiles has the processes serve profiles.
	Profiles bool
	// Sockets has all gRPC go over unix sockets, that of the programs at the ends too.
	Sockets bool
	// Fan is that of the end of a way.
	Fan load.Fan
	// Keeps has the handlers at the end of a way get messages that they may keep.
	Keeps bool
}

// domain is a Message Node and runtimes, as processes of this machine.
type domain struct {
	program Program
	dir     string
	system  *local.System
	node    *local.Node
	members []drive.Member
	workers []*worker.Process
}

// startDomain runs the Message Node. flags are more flags of the runtimes' processes, by
// mode.
func startDomain(ctx context.Context, p Program, flags map[string][]string) (*domain, error) {
	dir, err := os.MkdirTemp("", "peerbus-bench-")
	if err != nil {
		return nil, err
	}
	d := &domain{program: p, dir: dir}
	d.system = local.New(local.Config{Binary: p.Binary, Dir: dir, LogLevel: "error", Flags: flags, Profiles: p.Profiles, Sockets: p.Sockets})
	d.node, err = d.system.StartNode(domainName)
	if err == nil {
		err = d.node.Ready(ctx)
	}
	if err != nil {
		_ = d.close()
		return nil, err
	}
	d.members = append(d.members, drive.Service{ID: d.node.PID(), Name: "msgnode", HTTPAddr: d.node.HTTPAddr, ProfileAddr: d.node.ProfileAddr})
	return d, nil
}

// start runs a runtime until it is ready.
func (d *domain) start(ctx context.Context, id string) (*local.Runtime, error) {
	r, err := d.system.StartRuntime(id, d.program.Layout, []*local.Node{d.node})
	if err != nil {
		return nil, err
	}
	for mode, p := range r.Processes {
		d.members = append(d.members, drive.Service{
			ID: p.PID(), Name: mode + "-" + id, HTTPAddr: r.MetricsAddrs[mode], ProfileAddr: r.ProfileAddrs[mode],
		})
	}
	return r, r.Ready(ctx)
}

// register gives an address to a runtime.
func register(ctx context.Context, r *local.Runtime, name string) (string, error) {
	url := hyperty(name)
	_, err := peerbusv1.NewRegistryClient(r.Registry).Register(ctx, &peerbusv1.RegisterRequest{
		Registration: &peerbusv1.Registration{Url: url},
	})
	return url, err
}

// close ends all processes.
func (d *domain) close() error {
	var errs []error
	for _, w := range d.workers {
		errs = append(errs, w.Close())
	}
	return errors.Join(append(errs, d.system.Close(), os.RemoveAll(d.dir))...)
}
