package ours

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
)

// Local is the way from one program to another one at the same bus.
func Local(ctx context.Context, p Program) (*drive.Way, error) {
	return p.way(ctx, nil, "", func(d *domain, ctx context.Context) (from, to *local.Runtime, err error) {
		r, err := d.start(ctx, "alice")
		return r, r, err
	})
}

// Relayed is the way over the Message Node of two runtimes that set up no connection.
func Relayed(ctx context.Context, p Program) (*drive.Way, error) {
	never := []string{"--p2p", "never"}
	return p.way(ctx, map[string][]string{"registry": never, "runtime": never}, "/protostub/", (*domain).pair)
}

// Direct is the way over the data channel of two runtimes.
func Direct(ctx context.Context, p Program) (*drive.Way, error) {
	return p.way(ctx, nil, "/p2p", (*domain).pair)
}

// Plain is Direct without flows: messages may be lost, doubled or overtaken when the path
// changes, which it does not here.
func Plain(ctx context.Context, p Program) (*drive.Way, error) {
	none := []string{"--flows=false"}
	w, err := p.way(ctx, map[string][]string{"bus": none, "runtime": none}, "/p2p", (*domain).pair)
	if err != nil {
		return nil, err
	}
	before := w.Check
	w.Check = func(ctx context.Context) error { return errors.Join(before(ctx), noFlows(ctx, w.Members)) }
	return w, nil
}

// noFlows fails when a bus has sent in a flow.
func noFlows(ctx context.Context, members []drive.Member) error {
	for _, m := range members {
		s, ok := m.(drive.Service)
		if !ok || !strings.HasPrefix(s.Name, "bus-") {
			continue
		}
		n, err := s.Metric(ctx, `peerbus_bus_flow_sent_total{path="direct"}`)
		if err != nil {
			return err
		}
		if n > 0 {
			return fault.New(fault.Internal, "%s has sent %.0f messages in flows", s.Name, n)
		}
	}
	return nil
}

// pair starts two runtimes.
func (d *domain) pair(ctx context.Context) (from, to *local.Runtime, err error) {
	if from, err = d.start(ctx, "alice"); err != nil {
		return nil, nil, err
	}
	to, err = d.start(ctx, "bob")
	return from, to, err
}

// lay starts the runtimes at both ends of a way, which may be one.
type lay func(d *domain, ctx context.Context) (from, to *local.Runtime, err error)

// way starts the processes, and an end at each runtime. via is in the address of the
// stub that messages come in through; empty for none.
func (p Program) way(ctx context.Context, flags map[string][]string, via string, runtimes lay) (*drive.Way, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	d, err := startDomain(ctx, p, flags)
	if err != nil {
		return nil, err
	}
	w := &drive.Way{Closers: []func() error{d.close}}
	from, to, err := runtimes(d, ctx)
	if err == nil {
		err = d.join(ctx, w, from, to, via == "/p2p")
	}
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	w.Check = checkWays(w.To, via)
	return w, nil
}

// join adds the ends of the way. direct has them connected before.
func (d *domain) join(ctx context.Context, w *drive.Way, from, to *local.Runtime, direct bool) error {
	sender, err := register(ctx, from, "sender")
	if err != nil {
		return err
	}
	receiver, err := register(ctx, to, "receiver")
	for i := 1; err == nil && i < d.program.Fan.Count(); i++ {
		_, err = register(ctx, to, listener("receiver", i))
	}
	if err == nil && direct {
		err = connect(ctx, from, receiver)
	}
	if err != nil {
		return err
	}
	w.Members = append(w.Members, d.members...)
	fan, keeps := d.program.Fan, d.program.Keeps
	if w.To, err = worker.Start(ctx, EndRole, EndConfig{Bus: to.BusAddr, Own: receiver, To: sender, Fan: fan, Keeps: keeps}); err != nil {
		return err
	}
	w.Join(w.To)
	if w.From, err = worker.Start(ctx, EndRole, EndConfig{Bus: from.BusAddr, Own: sender, To: receiver, Fan: fan, Keeps: keeps}); err != nil {
		return err
	}
	w.Join(w.From)
	return nil
}

// connect has a runtime set up a connection, and waits until it is live.
func connect(ctx context.Context, from *local.Runtime, to string) error {
	return connectBy(ctx, peerbusv1.NewRegistryClient(from.Registry), to)
}

// isBusy tells whether a call may be well later: all that is started at once takes a busy
// machine longer than a caller is asked to wait.
func isBusy(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Timeout, fault.Unavailable, fault.NotFound: // the last one of a look-up that took too long
		return true
	}
	return false
}

// connectBy is connect, by the runtime's registry.
func connectBy(ctx context.Context, from peerbusv1.RegistryClient, to string) error {
	const again = 50 * time.Millisecond
	for {
		resp, err := from.Connect(ctx, &peerbusv1.ConnectRequest{Address: to})
		if err != nil && (!isBusy(err) || ctx.Err() != nil) {
			return err
		}
		state := resp.GetConnection().GetState()
		if state == peerbusv1.ConnectionState_CONNECTION_STATE_LIVE {
			return nil
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return fault.New(fault.Timeout, "the connection with %s is not live but %s", to, state)
		}
	}
}

// checkWays makes a check that messages came in through a stub whose address has via in
// it, or through none. One in a hundred, and one in any case, may have come another way:
// on a busy machine a connection is doubted now and then.
func checkWays(to *worker.Process, via string) func(context.Context) error {
	return func(ctx context.Context) error {
		var all map[string]uint64
		if err := to.Call(ctx, DoWays, nil, &all); err != nil {
			return err
		}
		return strayed(all, via)
	}
}

func strayed(all map[string]uint64, via string) error {
	var number, others uint64
	var stray string
	for stub, n := range all {
		number += n
		if (via == "") != (stub == "") || !strings.Contains(stub, via) {
			others += n
			stray = stub
		}
	}
	if number == 0 {
		return fmt.Errorf("no message came")
	}
	if others > max(1, number/100) {
		return fault.New(fault.Unavailable, "%d of %d messages came in through %q, not the way that is measured", others, number, stray)
	}
	return nil
}
