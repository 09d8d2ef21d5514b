package nodestub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// webSocketConn is the WebSocket of a Message Node (wire contract, section 3):
// one JSON message a text frame.
type webSocketConn struct {
	socket *websocket.Conn
	limits Limits
	cancel context.CancelFunc // ends the checks
	checks sync.WaitGroup

	// A pong is only seen while Receive reads. reads is odd meanwhile, and
	// counts on with each begin and end.
	reads atomic.Int64
	dead  atomic.Bool // found by a check
}

// dialWebSocket connects within a time.
func (s *Stub) dialWebSocket(ctx context.Context, url string, within time.Duration) (conn, error) {
	dialing, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	socket, resp, err := websocket.Dial(dialing, url, &websocket.DialOptions{HTTPClient: s.cfg.HTTPClient})
	if err != nil {
		return nil, dialError(resp, err)
	}
	socket.SetReadLimit(int64(s.cfg.Limits.Frame))
	c := &webSocketConn{socket: socket, limits: s.cfg.Limits}
	ctx, c.cancel = context.WithCancel(ctx)
	c.checks.Go(func() { c.check(ctx) })
	return c, nil
}

func dialError(resp *http.Response, err error) error {
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		return fault.New(fault.Unavailable, "the node answered %s", resp.Status)
	}
	return fault.New(fault.Unavailable, "%w", err)
}

func (c *webSocketConn) Send(ctx context.Context, batch codec.Messages) (int, error) {
	for i, m := range batch {
		frame, err := message.JSON(m.Message())
		if err != nil || len(frame) > c.limits.Frame {
			return i, fault.New(fault.TooLarge, "message cannot be sent in a frame of %d bytes", c.limits.Frame)
		}
		if err := c.write(ctx, frame); err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

func (c *webSocketConn) write(ctx context.Context, frame []byte) error {
	within, cancel := context.WithTimeout(ctx, c.limits.SendTimeout)
	defer cancel()
	err := c.socket.Write(within, websocket.MessageText, frame)
	if errors.Is(within.Err(), context.DeadlineExceeded) {
		return errNotTaken
	}
	if err != nil && c.dead.Load() {
		return io.EOF
	}
	return err
}

func (c *webSocketConn) Receive(ctx context.Context) (codec.Messages, error) {
	c.reads.Add(1)
	typ, frame, err := c.socket.Read(ctx)
	c.reads.Add(1)
	if err != nil {
		return nil, c.readError(err)
	}
	if typ != websocket.MessageText {
		return make(codec.Messages, 1), nil
	}
	m, err := message.ParseJSON(frame)
	if err != nil && fault.CodeOf(err) != fault.TooLarge {
		m = nil
	}
	return codec.Messages{codec.Bare(m)}, nil
}

func (c *webSocketConn) readError(err error) error {
	var closed websocket.CloseError
	switch {
	case c.dead.Load():
		return fault.New(fault.Unavailable, "the node did not answer a ping within %v", c.limits.PingTimeout)
	case errors.As(err, &closed) && closed.Code == websocket.StatusGoingAway:
		return stops{fault.New(fault.Unavailable, "the node closed the WebSocket: %s", closed.Reason)}
	case errors.As(err, &closed):
		return fault.New(fault.Unavailable, "the node closed the WebSocket: %d %s", closed.Code, closed.Reason)
	}
	return fault.New(fault.Unavailable, "%w", fmt.Errorf("reading from the node: %w", err))
}

// check pings the node, and ends a connection that does not answer.
func (c *webSocketConn) check(ctx context.Context) {
	ticks := time.NewTicker(c.limits.PingTime)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		if !c.answers(ctx) {
			c.dead.Store(true)
			_ = c.socket.CloseNow()
			return
		}
	}
}

// answers sends one ping. Its pong is missed when Receive was not there to see
// it all the time, because the bus held it back; that proves nothing.
func (c *webSocketConn) answers(ctx context.Context) bool {
	within, cancel := context.WithTimeout(ctx, c.limits.PingTimeout)
	defer cancel()
	before := c.reads.Load()
	if err := c.socket.Ping(within); err == nil || ctx.Err() != nil {
		return true
	}
	return before%2 == 0 || c.reads.Load() != before
}

// Finish pings the node, whose pong comes after it has read everything, and then
// closes the WebSocket: a close at once would throw away what is on its way here.
func (c *webSocketConn) Finish(ctx context.Context) error {
	if err := c.socket.Ping(ctx); err != nil {
		return fault.New(fault.Unavailable, "the last ping: %w", err)
	}
	c.cancel() // a closing socket is not checked
	if err := c.socket.Close(websocket.StatusGoingAway, "the stub is stopping"); err != nil {
		return fault.New(fault.Unavailable, "closing the WebSocket: %w", err)
	}
	return nil
}

func (c *webSocketConn) Close() {
	c.cancel()
	_ = c.socket.CloseNow()
	c.checks.Wait()
}
