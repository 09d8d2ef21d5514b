package msgnode

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// webSocket is the transport of older peers: one JSON message a text frame
// (wire contract, section 3).
type webSocket struct {
	conn *websocket.Conn
	// open ends when the connection is to be dropped. Reading and writing have
	// it, and not the socket's context, which would break the connection in the
	// middle of a frame: a close can still be said in order.
	open context.Context
	// unwritable counts what another client put into a protobuf form that has
	// no JSON form.
	unwritable prometheus.Counter
}

func (w *webSocket) name() string { return transportWebSocket }

// receive reads one frame. A frame that is no message is not the end.
func (w *webSocket) receive(context.Context) ([]received, error) {
	_, frame, err := w.conn.Read(w.open)
	if err != nil {
		return nil, err
	}
	m, err := message.ParseJSON(frame)
	return []received{{codec.Bare(m), err}}, nil
}

func (w *webSocket) send(_ context.Context, batch codec.Messages) error {
	var frame []byte
	for _, c := range batch {
		var err error
		if frame, err = message.AppendJSON(frame[:0], c.Message()); err != nil {
			w.unwritable.Inc()
			continue
		}
		if err := w.conn.Write(w.open, websocket.MessageText, frame); err != nil {
			return err
		}
	}
	return nil
}

// serveWebSocket is the handler of /ws. A page of any origin may connect: the
// node takes no cookies, so that there is nothing that a foreign page could use.
func (n *Node) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	if err := n.enter(); err != nil {
		http.Error(w, fault.From(err).Description, http.StatusServiceUnavailable)
		return
	}
	defer n.running.Done()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		n.log.Debug("no WebSocket", "error", err) // Accept has answered
		return
	}
	conn.SetReadLimit(n.limits.FrameBytes)
	open, drop := context.WithCancel(n.life)
	defer drop()
	serving, stop := context.WithCancel(n.life)
	var probing sync.WaitGroup
	probing.Go(func() { n.probe(serving, conn, drop) })
	err = n.serve(serving, &webSocket{conn: conn, open: open, unwritable: n.metrics.dropped.WithLabelValues(dropNoJSON)})
	stop()
	probing.Wait()
	n.closeWebSocket(conn, err, drop)
}

// closeWebSocket says why, and waits a while for the client to agree.
func (n *Node) closeWebSocket(conn *websocket.Conn, err error, drop func()) {
	code, reason := websocket.StatusNormalClosure, ""
	switch {
	case err == nil:
	case errors.Is(err, n.whyDown()):
		code, reason = websocket.StatusGoingAway, fault.From(err).Description
	case errors.Is(err, errSilent):
		code, reason = websocket.StatusPolicyViolation, errSilent.Description
	case fault.CodeOf(err) == fault.TooMany:
		code, reason = websocket.StatusTryAgainLater, "too many connections"
	default:
		drop()
		_ = conn.CloseNow() // it is gone already
		return
	}
	defer time.AfterFunc(n.limits.CloseTimeout, drop).Stop()
	_ = conn.Close(code, reason) // whatever the client says to it
}

// probe finds out when the client is gone without a word.
func (n *Node) probe(ctx context.Context, conn *websocket.Conn, drop func()) {
	tick := time.NewTicker(n.limits.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pinging, cancel := context.WithTimeout(ctx, n.limits.PingTimeout)
		err := conn.Ping(pinging)
		cancel()
		if err != nil {
			drop()
			return
		}
	}
}
