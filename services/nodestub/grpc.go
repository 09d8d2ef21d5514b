package nodestub

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// grpcConn is a MessageNode.Connect stream. A node that is cut off is found by the
// kernel, and one that hangs by the keepalive of its connection (internal/rpc).
type grpcConn struct {
	stream  grpc.ClientStream       // of codec.Messages
	cancel  context.CancelCauseFunc // ends the stream
	cause   func() error            // why it was cancelled; nil if it was not
	close   func()                  // of the connection below
	stuck   *time.Timer             // ends the stream; runs while something is sent
	timeout time.Duration
}

var errNotTaken = fault.New(fault.Unavailable, "the node took nothing for too long")

// dialGRPC connects within a time. Each stream has a connection of its
// own, so that a new attempt does not wait out the back-off of the last one.
func (s *Stub) dialGRPC(ctx context.Context, e endpoint, within time.Duration) (conn, error) {
	below, err := s.cfg.Dial(e.grpc, e.at)
	if err != nil {
		return nil, err
	}
	release := func() {
		if c, ok := below.(io.Closer); ok {
			_ = c.Close()
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(within, func() {
		cancel(fault.New(fault.Unavailable, "no connection within %v", within))
	})
	stream, err := pb.NewMessageNodeClient(below).Connect(ctx, grpc.WaitForReady(false), grpc.ForceCodecV2(codec.GRPC{}))
	timer.Stop()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		why := because(ctx, err)
		cancel(nil)
		release()
		return nil, why
	}
	return &grpcConn{
		stream: stream, cancel: cancel, cause: func() error { return context.Cause(ctx) },
		close: release, stuck: stoppedTimer(func() { cancel(errNotTaken) }), timeout: s.cfg.Limits.SendTimeout,
	}, nil
}

// stoppedTimer is for Reset.
func stoppedTimer(do func()) *time.Timer {
	t := time.AfterFunc(time.Hour, do)
	t.Stop()
	return t
}

// because prefers the reason for which we cancelled to what gRPC makes of it.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (c *grpcConn) Send(_ context.Context, batch codec.Messages) (int, error) {
	c.stuck.Reset(c.timeout)
	defer c.stuck.Stop()
	if err := c.stream.SendMsg(batch); err != nil {
		return 0, err
	}
	return len(batch), nil
}

func (c *grpcConn) Receive(context.Context) (codec.Messages, error) {
	var batch codec.Messages
	err := c.stream.RecvMsg(&batch)
	if err != nil {
		if cause := c.cause(); cause != nil {
			err = cause
		}
		return nil, err
	}
	return batch, nil
}

// Finish is called by the goroutine that sends.
func (c *grpcConn) Finish(context.Context) error { return c.stream.CloseSend() }

func (c *grpcConn) Close() {
	c.cancel(nil)
	c.close()
}
