// Package apart makes two machines out of this one, with a link between them on which
// packets are late: two network namespaces, a tun device in each, and package netlab's
// link, in this process. Linux and root.
package apart

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/peerbus/peerbus/internal/netlab"
)

// Addresses of the two machines on the link.
const (
	NearIP  = "10.78.0.1"
	FarIP   = "10.78.0.2"
	network = "10.78.0.0/24"
	device  = "link"
)

// Pair of machines.
type Pair struct {
	Near, Far *netlab.Namespace

	closers []func() error
}

// New makes a pair that is so far apart, there and back.
func New(ctx context.Context, roundTrip time.Duration) (*Pair, error) {
	if err := netlab.Requirements(); err != nil {
		return nil, err
	}
	netlab.Sweep()
	p := &Pair{}
	err := p.join(ctx, roundTrip)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Pair) join(ctx context.Context, roundTrip time.Duration) error {
	var err error
	var near, far *os.File
	if p.Near, near, err = p.machine(ctx, "near", NearIP); err != nil {
		return err
	}
	if p.Far, far, err = p.machine(ctx, "far", FarIP); err != nil {
		return err
	}
	link := netlab.NewLink(1)
	link.Set(netlab.Weather{Delay: roundTrip / 2})
	passing, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- link.Run(passing, near, far) }()
	p.closers = append(p.closers, func() error { stop(); return <-ended })
	return nil
}

// machine makes a namespace with its end of the link. The device is gone with it.
func (p *Pair) machine(ctx context.Context, name, ip string) (*netlab.Namespace, *os.File, error) {
	ns, err := netlab.NewNamespace(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	p.closers = append(p.closers, ns.Remove)
	tun, err := netlab.OpenTun(ns.Name, device)
	if err != nil {
		return nil, nil, err
	}
	return ns, tun, ns.Address(ctx, device, ip, network)
}

// Close takes it away.
func (p *Pair) Close() error {
	var errs []error
	for _, end := range slices.Backward(p.closers) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}
