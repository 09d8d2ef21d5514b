package baseline

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/internal/fault"
)

// NATSRole is a NATS server.
const NATSRole = "nats-server"

// NATSConfig of the server.
type NATSConfig struct {
	Addr string
	// Store is the directory of JetStream; empty for none.
	Store string
}

// natsPending is how many bytes the server keeps for a subscriber that is behind,
// before it cuts it off: the publisher is not held back, so as much as a round has.
const natsPending = 2 << 30

// NewNATS is the Role. The settings are the server's own, but for what it keeps for a
// subscriber that is behind.
func NewNATS(ctx context.Context, cfg NATSConfig) (worker.Ops, error) {
	host, portText, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(&server.Options{
		Host: host, Port: port, NoSigs: true, NoLog: true, MaxPending: natsPending,
		JetStream: cfg.Store != "", StoreDir: cfg.Store,
	})
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, s.Shutdown)
	s.Start()
	const patience = 10 * time.Second
	if !s.ReadyForConnections(patience) {
		return nil, fault.New(fault.Timeout, "the NATS server does not start")
	}
	return load.WithMemory(worker.Ops{}), nil
}
