package ours

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// The other runtimes are in so many processes, of which each starts and connects so many
// at a time.
const (
	crowds       = 4
	startsAtOnce = 2
)

// Holder is a p2pstub, of a runtime of separate processes, with an idle connection to
// each of many runtimes, which share a few processes.
func Holder(ctx context.Context, p Program, number int, lasts time.Duration) (_ drive.Holder, end func() error, err error) {
	p.Profiles = true // to have it collect
	d, err := startDomain(ctx, p, nil)
	if err != nil {
		return drive.Holder{}, nil, err
	}
	h, err := d.hold(ctx, number)
	if err != nil {
		return h, nil, errors.Join(err, d.close())
	}
	h.Lasts = lasts
	return h, d.close, nil
}

func (d *domain) hold(ctx context.Context, number int) (h drive.Holder, err error) {
	d.program.Layout = local.Separate
	host, err := d.start(ctx, "host")
	if err != nil {
		return h, err
	}
	to, err := register(ctx, host, "host")
	if err != nil {
		return h, err
	}
	s := drive.Service{ID: host.Processes["p2pstub"].PID(), Name: "p2pstub", HTTPAddr: host.MetricsAddrs["p2pstub"], ProfileAddr: host.ProfileAddrs["p2pstub"]}
	h = drive.Holder{PID: s.PID(), Service: s, Number: number, Heap: s.LiveHeap, Live: func(ctx context.Context) (int, error) {
		return live(ctx, peerbusv1.NewRegistryClient(host.Registry))
	}}
	if h.Before, err = h.Use(ctx); err != nil {
		return h, err
	}
	return h, d.callAll(ctx, number, to)
}

// callAll has so many runtimes connect to an address.
func (d *domain) callAll(ctx context.Context, number int, to string) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range crowds {
		first, next := number*i/crowds, number*(i+1)/crowds
		w, err := worker.Start(ctx, CrowdedRole, CrowdedConfig{Node: d.node.GRPCAddr, Dir: filepath.Join(d.dir, fmt.Sprint("runtimes-", i))})
		if err != nil {
			return oneFailed(i, err)
		}
		d.workers = append(d.workers, w)
		g.Go(func() error {
			return oneFailed(i, w.Call(ctx, DoConnect, Callers{First: first, Number: next - first, To: to}, nil))
		})
	}
	return g.Wait()
}

// live counts the runtimes with which one has a live connection.
func live(ctx context.Context, of peerbusv1.RegistryClient) (int, error) {
	resp, err := of.ListConnections(ctx, &peerbusv1.ListConnectionsRequest{})
	if err != nil {
		return 0, err
	}
	remotes := map[string]bool{}
	for _, c := range resp.GetConnections() {
		if c.GetState() == peerbusv1.ConnectionState_CONNECTION_STATE_LIVE {
			remotes[c.GetRemoteRuntimeUrl()] = true
		}
	}
	return len(remotes), nil
}
