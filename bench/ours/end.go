package ours

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/client"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// EndRole is a program that is attached to a bus.
const EndRole = "bus-end"

// DoWays asks an end which ways messages have come since the last time it was asked: the
// last stub that each came in through, and how many did.
const DoWays = "ways"

// EndConfig of an end.
type EndConfig struct {
	Bus string // HOST:PORT or unix:///PATH
	Own string // address that it listens to
	To  string // address that it sends to
	// Fan has more addresses of Own, and To: below them, but for the first.
	Fan load.Fan
	// Keeps has the handler get messages that it may keep; else they are lent to it.
	Keeps bool
}

// options are those of the listeners.
func (c EndConfig) options() []client.ListenOption {
	if c.Keeps {
		return nil
	}
	return []client.ListenOption{client.Borrowed()}
}

// listener gives one of several addresses.
func listener(address string, number int) string {
	if number == 0 {
		return address
	}
	return fmt.Sprintf("%s-%d", address, number)
}

// End is attached to a bus.
type End struct {
	cfg     EndConfig
	bus     *client.Bus
	counter *load.Counter
	ways    ways
	to      []string // addresses to send to, in turn
	sent    int
}

// NewEnd is the Role.
func NewEnd(ctx context.Context, cfg EndConfig) (worker.Ops, error) {
	conn, err := client.Dial(cfg.Bus, nil)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	e := &End{cfg: cfg, counter: load.NewCounter()}
	e.bus, err = client.New(client.Config{Conn: conn, Name: "bench", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	go func() { _ = e.bus.Run(ctx) }() // until ctx is done
	for i := range cfg.Fan.Count() {
		if _, err := e.bus.Listen(ctx, listener(cfg.Own, i), e.take, cfg.options()...); err != nil {
			return nil, err
		}
		e.to = append(e.to, listener(cfg.To, i))
	}
	ops := load.Ops(e, e.counter)
	ops[DoWays] = worker.Do(func(context.Context, struct{}) (map[string]uint64, error) { return e.ways.taken(), nil })
	return ops, nil
}

// take counts a message, and answers a request.
func (e *End) take(ctx context.Context, m *peerbusv1.Message) {
	e.ways.note(m.GetVia())
	if m.GetType() == message.Read {
		_ = e.bus.Send(ctx, message.Answer(m, fault.OK, nil)) // who asks is told when it does not come
		return
	}
	e.counter.Arrived()
}

// Send posts one message.
func (e *End) Send(ctx context.Context, body []byte) error {
	to := e.to[e.cfg.Fan.To(e.sent)]
	e.sent++
	return e.bus.Send(ctx, &peerbusv1.Message{Type: message.Create, From: e.cfg.Own, To: to, Body: body})
}

// Flush has nothing to do: what was sent leaves by itself.
func (e *End) Flush(context.Context) error { return nil }

// Ask posts a request, and waits for its response.
func (e *End) Ask(ctx context.Context, body []byte) error {
	answer, err := e.bus.Request(ctx, &peerbusv1.Message{Type: message.Read, From: e.cfg.Own, To: e.cfg.To, Body: body})
	if err != nil {
		return err
	}
	_, err = message.Result(answer)
	return err
}

// ways counts messages by the last stub that they came in through. The one that each
// came is mostly that of the one before.
type ways struct {
	mu     sync.Mutex
	last   string
	number uint64
	others map[string]uint64
}

func (w *ways) note(via string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if via != w.last {
		w.put()
		w.last = via
	}
	w.number++
}

// put moves the count of the last way to the others.
func (w *ways) put() {
	if w.others == nil {
		w.others = map[string]uint64{}
	}
	if w.number > 0 {
		w.others[w.last] += w.number
	}
	w.number = 0
}

func (w *ways) taken() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put()
	all := w.others
	w.others = nil
	return all
}
