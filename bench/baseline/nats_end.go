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
	// Fan has more subjects of Own, and To: below them, but for the first.
	Fan load.Fan
}

// subject gives one of several.
func subject(name string, number int) string {
	if number == 0 {
		return name
	}
	return fmt.Sprint(name, ".", number)
}

// natsEnd is a load.End.
type natsEnd struct {
	conn *nats.Conn
	fan  load.Fan
	to   []string
	sent int
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
	e := &natsEnd{conn: conn, fan: cfg.Fan}
	for i := range cfg.Fan.Count() {
		e.to = append(e.to, subject(cfg.To, i))
		if err := subscribe(conn, subject(cfg.Own, i), counter); err != nil {
			return nil, err
		}
	}
	return load.Ops(e, counter), conn.Flush() // the server knows of it
}

func subscribe(conn *nats.Conn, subject string, counter *load.Counter) error {
	sub, err := conn.Subscribe(subject, func(m *nats.Msg) {
		if m.Reply != "" {
			_ = m.Respond(m.Data) // who asks is told when it does not come
			return
		}
		counter.Arrived()
	})
	if err != nil {
		return err
	}
	return sub.SetPendingLimits(-1, -1)
}

// Send publishes one message.
func (e *natsEnd) Send(_ context.Context, body []byte) error {
	to := e.to[e.fan.To(e.sent)]
	e.sent++
	return e.conn.Publish(to, body)
}

// Flush has all leave that is in the client's buffer.
func (e *natsEnd) Flush(context.Context) error { return e.conn.Flush() }

// Ask is a request.
func (e *natsEnd) Ask(_ context.Context, body []byte) error {
	const patience = 10 * time.Second
	_, err := e.conn.Request(e.to[0], body, patience)
	return err
}
