package baseline

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
)

// RelayEndRole is a client of the relay.
const RelayEndRole = "grpc-end"

// RelayEndConfig of a client.
type RelayEndConfig struct {
	Target  string // as of grpc.NewClient
	Own, To string // names of clients
	Answers bool   // it sends back what comes
}

// relayEnd is a load.End.
type relayEnd struct {
	stream  grpc.ClientStream
	answers chan struct{}
}

// NewRelayEnd is the Role.
func NewRelayEnd(ctx context.Context, cfg RelayEndConfig) (worker.Ops, error) {
	conn, err := relayConn(cfg.Target)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	ctx = metadata.AppendToOutgoingContext(ctx, ownKey, cfg.Own, toKey, cfg.To)
	stream, err := conn.NewStream(ctx, &relayStream, relayMethod, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	if _, err := stream.Header(); err != nil {
		return nil, err
	}
	e := &relayEnd{stream, make(chan struct{}, 1)}
	counter := load.NewCounter()
	go e.read(cfg.Answers, counter)
	return load.Ops(e, counter), nil
}

func (e *relayEnd) read(answers bool, counter *load.Counter) {
	for {
		m := new(wrapperspb.BytesValue)
		if e.stream.RecvMsg(m) != nil {
			return // who waits is told by its time
		}
		if answers {
			_ = e.stream.SendMsg(m)
			continue
		}
		counter.Arrived()
		select {
		case e.answers <- struct{}{}:
		default: // nobody asks
		}
	}
}

// Send sends one message, which is a frame of its own.
func (e *relayEnd) Send(_ context.Context, body []byte) error {
	if err := e.stream.SendMsg(&wrapperspb.BytesValue{Value: body}); err != nil {
		return fmt.Errorf("the relay: %w", err)
	}
	return nil
}

// Flush has nothing to do: grpc-go writes by itself.
func (e *relayEnd) Flush(context.Context) error { return nil }

// Ask sends a message, and waits for what comes back.
func (e *relayEnd) Ask(ctx context.Context, body []byte) error {
	if err := e.Send(ctx, body); err != nil {
		return err
	}
	select {
	case <-e.answers:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
