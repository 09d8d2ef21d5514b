package ours

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/peerbus/peerbus/bench/drive"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
)

// Starter starts all-in-one runtimes of a domain, one after the other.
type Starter struct{ domain *domain }

// NewStarter runs the Message Node.
func NewStarter(ctx context.Context, p Program) (*Starter, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	p.Layout = local.AllInOne
	d, err := startDomain(ctx, p, nil)
	return &Starter{d}, err
}

// Close ends the Message Node.
func (s *Starter) Close() error { return s.domain.close() }

// Start runs a runtime, until its parts are connected and its session with the Message
// Node is live. Each has an address of its own, and so no state of another one.
func (s *Starter) Start(ctx context.Context) (*drive.Started, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	began := time.Now()
	r, err := s.domain.system.StartRuntime(began.Format("150405.000000"), local.AllInOne, []*local.Node{s.domain.node})
	if err != nil {
		return nil, err
	}
	p := r.Processes["runtime"]
	service := drive.Service{ID: p.PID(), Name: "runtime", HTTPAddr: r.MetricsAddrs["runtime"], ProfileAddr: r.ProfileAddrs["runtime"]}
	if err := awaitReady(ctx, r.RegistryAddr); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return &drive.Started{PID: p.PID(), Service: service, Took: time.Since(began), Close: p.Stop}, nil
}

// awaitReady connects and asks more often than local.WaitReady, whose pauses would be
// seen: a connection that is refused is tried again after 50 ms.
func awaitReady(ctx context.Context, addr string) error {
	const pause = time.Millisecond
	at := backoff.Config{BaseDelay: pause, Multiplier: 1, MaxDelay: pause}
	conn, err := rpc.Dial(addr, rpc.Security{}, grpc.WithConnectParams(grpc.ConnectParams{Backoff: at, MinConnectTimeout: startTime}))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	registry := peerbusv1.NewRegistryClient(conn)
	for {
		resp, err := registry.GetRuntime(ctx, &peerbusv1.GetRuntimeRequest{})
		if err == nil {
			if err = local.Unready(resp); err == nil {
				return nil
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}
