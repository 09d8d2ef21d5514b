package baseline

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
)

// NATSEndRole is a client of NATS.
const NATSEndRole = "nats-end"

// NATSEndConfig of a client.
type NATSEndConfig struct {
	URL     string
	Own, To string // subjects
}

// natsEnd is a load.End.
type natsEnd struct {
	conn *nats.Conn
	to   string
}

// NewNATSEnd is the Role. It subscribes with a callback, as most do: a channel differs
// less from it than one run does from the next. The pending limits are off, since it is
// no comparison to drop messages.
func NewNATSEnd(ctx context.Context, cfg NATSEndConfig) (worker.Ops, error) {
	conn, err := nats.Connect(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	context.AfterFunc(ctx, conn.Close)
	counter := load.NewCounter()
	sub, err := conn.Subscribe(cfg.Own, func(m *nats.Msg) {
		if m.Reply != "" {
			_ = m.Respond(m.Data) // who asks is told when it does not come
			return
		}
		counter.Arrived()
	})
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = conn.Flush() // the server knows of it
	}
	return load.Ops(&natsEnd{conn, cfg.To}, counter), err
}

// Send publishes one message.
func (e *natsEnd) Send(_ context.Context, body []byte) error { return e.conn.Publish(e.to, body) }

// Flush has all leave that is in the client's buffer.
func (e *natsEnd) Flush(context.Context) error { return e.conn.Flush() }

// Ask is a request.
func (e *natsEnd) Ask(_ context.Context, body []byte) error {
	const patience = 10 * time.Second
	_, err := e.conn.Request(e.to, body, patience)
	return err
}
