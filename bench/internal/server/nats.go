package server

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSConfig of the server.
type NATSConfig struct {
	Addr string
	// Store is the directory of JetStream; empty for none.
	Store string
}

// natsPending is how many bytes the server keeps for a subscriber that is behind,
// before it cuts it off: the publisher is not held back, so as much as a round has.
const natsPending = 2 << 30

// NATS runs a NATS server until ctx ends, and returns when it takes connections. The
// settings are the server's own, but for what it keeps for a subscriber that is behind.
func NATS(ctx context.Context, cfg NATSConfig) error {
	host, portText, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		Host: host, Port: port, NoSigs: true, NoLog: true, MaxPending: natsPending,
		JetStream: cfg.Store != "", StoreDir: cfg.Store,
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, s.Shutdown)
	s.Start()
	const patience = 10 * time.Second
	if !s.ReadyForConnections(patience) {
		return errors.New("the NATS server does not start")
	}
	return nil
}
