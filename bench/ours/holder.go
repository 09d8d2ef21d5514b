package ours

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/internal/local"
)

// startsAtOnce is how many runtimes are started, or connect, at a time.
const startsAtOnce = 4

// Holder is a p2pstub, of a runtime of separate processes, with an idle connection to
// each of many runtimes, which are a process each.
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
	s := drive.Service{ID: host.Processes["p2pstub"].PID(), HTTPAddr: host.MetricsAddrs["p2pstub"], ProfileAddr: host.ProfileAddrs["p2pstub"]}
	h = drive.Holder{PID: s.PID(), Number: number, Heap: s.LiveHeap}
	if h.Before, err = h.Use(ctx); err != nil {
		return h, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(startsAtOnce)
	for i := range number {
		g.Go(func() error {
			r, err := d.system.StartRuntime(fmt.Sprint("other-", i), local.AllInOne, []*local.Node{d.node})
			if err == nil {
				err = r.Ready(ctx)
			}
			if err != nil {
				return err
			}
			return connect(ctx, r, to)
		})
	}
	return h, g.Wait()
}
