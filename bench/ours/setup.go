package ours

import (
	"context"
	"log/slog"
	"time"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/client"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/message"
)

// SetUpRole is a program that posts while there is no connection, and watches it come.
const SetUpRole = "bus-set-up"

// SetUpConfig of it.
type SetUpConfig struct {
	Bus, Registry string // HOST:PORT
	Own, To       string // addresses
	Remote        string // runtime of To
}

// restTime is how long nothing happens between two set-ups: some round trips of the link,
// so that the other side has heard of the end.
const restTime = 400 * time.Millisecond

type setUp struct {
	cfg      SetUpConfig
	bus      *client.Bus
	registry peerbusv1.RegistryClient
}

// NewSetUp is the Role.
func NewSetUp(ctx context.Context, cfg SetUpConfig) (worker.Ops, error) {
	s := &setUp{cfg: cfg}
	control, err := client.Dial(cfg.Registry, nil)
	if err != nil {
		return nil, err
	}
	conn, err := client.Dial(cfg.Bus, nil)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _, _ = conn.Close(), control.Close() })
	s.registry = peerbusv1.NewRegistryClient(control)
	s.bus, err = client.New(client.Config{Conn: conn, Name: "bench", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	go func() { _ = s.bus.Run(ctx) }() // until ctx is done
	ops := worker.Ops{load.DoSetUp: worker.Do(func(ctx context.Context, _ struct{}) (load.SetUp, error) { return s.once(ctx) })}
	ops[load.DoRest] = worker.Do(func(ctx context.Context, _ struct{}) (any, error) { return nil, s.end(ctx) })
	return load.WithMemory(ops), nil
}

func (s *setUp) once(ctx context.Context) (load.SetUp, error) {
	if err := s.end(ctx); err != nil {
		return load.SetUp{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop() // else each set-up is told to the watches of all before it
	watch, err := s.registry.WatchConnections(ctx, &peerbusv1.WatchConnectionsRequest{})
	if err != nil {
		return load.SetUp{}, err
	}
	if _, err := watch.Recv(); err != nil { // what there is
		return load.SetUp{}, err
	}
	began := time.Now()
	type outcome struct {
		took time.Duration
		err  error
	}
	first := make(chan outcome, 1)
	go func() {
		err := s.bus.Post(ctx, &peerbusv1.Message{Type: message.Create, From: s.cfg.Own, To: s.cfg.To, Body: load.Body(64)}, client.Delivered())
		first <- outcome{time.Since(began), err}
	}()
	if err := awaitLive(watch, s.cfg.Remote); err != nil {
		return load.SetUp{}, err
	}
	open := time.Since(began)
	o := <-first
	return load.SetUp{Open: open, First: o.took}, o.err
}

// awaitLive waits until the connection with a runtime is live.
func awaitLive(watch peerbusv1.Registry_WatchConnectionsClient, remote string) error {
	for {
		resp, err := watch.Recv()
		if err != nil {
			return err
		}
		for _, c := range resp.GetConnections() {
			if c.GetRemoteRuntimeUrl() == remote && c.GetState() == peerbusv1.ConnectionState_CONNECTION_STATE_LIVE {
				return nil
			}
		}
	}
}

// end closes the connection, and waits until it is over.
func (s *setUp) end(ctx context.Context) error {
	_, err := s.registry.Disconnect(ctx, &peerbusv1.DisconnectRequest{Connection: s.cfg.Remote})
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return err
	}
	for {
		if err := run.Sleep(ctx, restTime); err != nil {
			return err
		}
		all, err := s.registry.ListConnections(ctx, &peerbusv1.ListConnectionsRequest{})
		if err != nil || len(all.GetConnections()) == 0 {
			return err
		}
	}
}
