package msgnode

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// transport is one connection of a client, WebSocket or gRPC. receive and send
// are called by one goroutine each at a time.
type transport interface {
	name() string
	// receive waits for messages and validates each; what is wrong with one is
	// told beside it. An error of receive itself ends the socket.
	receive(ctx context.Context) ([]received, error)
	send(ctx context.Context, batch codec.Messages) error
}

// received is one message, or what could be read of it and what is wrong.
type received struct {
	codec.Carried
	err error
}

// Why a socket ends, besides the errors of its transport.
var (
	errStarting = fault.New(fault.Unavailable, "the node is starting")
	errStopping = fault.New(fault.Unavailable, "the node is stopping")
	errSilent   = fault.New(fault.Timeout, "no session was opened")
	errGone     = errors.New("the client is gone")
	errFinished = errors.New("all is sent, and nothing more comes")
)

// socket is one connection with its queue. Its reader runs the pipeline, its
// writer alone writes; there is one while there is something to write.
type socket struct {
	id        string // `<replica>/<number>`, as in Session.Socket
	transport transport
	queue     *queue
	cancel    context.CancelCauseFunc

	// session is the one opened on this socket, or the zero value. The reader
	// writes it under Node.mu, and reads it without.
	session Session
	// replaced: the session went on to a newer socket. Guarded by Node.mu.
	replaced bool
	// silent ends the socket if no session is opened; nil when one is. Guarded likewise.
	silent *time.Timer
	// stopping: nothing more is read, and the socket ends when what is queued is
	// sent.
	stopping atomic.Bool
}

// serve runs a socket until its client is gone, has closed the session (nil),
// or the node lets nobody in any more (Node.down). The caller then ends the transport, and with
// it the reader and the writer, for which Run waits.
func (n *Node) serve(ctx context.Context, t transport) error {
	s, ctx, err := n.admit(ctx, t)
	if err != nil {
		return err
	}
	defer s.cancel(errGone)
	go n.read(ctx, s)
	<-ctx.Done()
	switch err := context.Cause(ctx); {
	case err != errFinished:
		return err
	case s.stopping.Load():
		return n.whyDown()
	default:
		return nil
	}
}

// read handles what comes in, in order.
func (n *Node) read(ctx context.Context, s *socket) {
	defer n.running.Done()
	defer n.release(s)
	for !s.stopping.Load() {
		in, err := s.transport.receive(ctx)
		if err != nil {
			s.cancel(errGone)
			return
		}
		if !n.handleAll(ctx, s, in) {
			s.queue.end()
			return
		}
	}
	<-ctx.Done() // the writer is not done yet
}

// stop lets the socket end in order: its client is told when it has all that was
// queued.
func (s *socket) stop() {
	s.stopping.Store(true)
	s.queue.end()
}

// write sends what is queued, as much as there is at once, until nothing is; what comes
// then starts the next writer. When the queue has ended, so does the socket.
func (n *Node) write(ctx context.Context, s *socket) {
	defer n.running.Done()
	for ctx.Err() == nil {
		batch, over := s.queue.take()
		if over {
			s.cancel(errFinished)
		}
		if len(batch.Messages) == 0 {
			return
		}
		if err := n.send(ctx, s, batch); err != nil {
			s.cancel(errGone)
			return
		}
	}
}

// send writes one batch. A client that takes too long over it is given up; not
// every transport can be told to by the context.
func (n *Node) send(ctx context.Context, s *socket, b batch) error {
	n.traceRelayed(b) // before the client can act on it, as its own lines come behind (ADR 0005)
	slow := time.AfterFunc(n.limits.WriteTimeout, func() { s.cancel(errGone) })
	defer slow.Stop()
	if err := s.transport.send(ctx, b.Messages); err != nil {
		return err
	}
	n.metrics.sent.WithLabelValues(s.transport.name()).Add(float64(len(b.Messages)))
	return nil
}

// admit makes a socket, unless there are too many or the node is not up.
func (n *Node) admit(ctx context.Context, t transport) (*socket, context.Context, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down != nil {
		return nil, nil, n.down
	}
	if len(n.sockets) >= n.limits.Sockets {
		return nil, nil, fault.New(fault.TooMany, "the node has %d sockets, which is its bound", len(n.sockets))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &socket{id: n.nextSocketID(), transport: t, cancel: cancel}
	s.queue = newQueue(&n.limits, func() {
		n.running.Add(1) // the reader has not ended: it takes the socket away before
		go n.write(ctx, s)
	})
	s.silent = time.AfterFunc(n.limits.OpenTimeout, func() { s.cancel(errSilent) })
	n.sockets[s.id] = s
	n.running.Add(1) // reader
	n.metrics.sockets.WithLabelValues(t.name()).Inc()
	return s, ctx, nil
}

// release ends what a socket was for. What its session was sent meanwhile waits
// for the runtime to come back.
func (n *Node) release(s *socket) {
	n.mu.Lock()
	delete(n.sockets, s.id)
	s.hush()
	left, why := s.queue.leave(), errAway
	if have := n.directory.sessions[s.session.Runtime]; have.Socket == s.id {
		left, why = n.store(have, left...)
	}
	n.mu.Unlock()
	n.refuseLetters(left, why)
	n.metrics.sockets.WithLabelValues(s.transport.name()).Dec()
	if s.session.Token == "" {
		return
	}
	ctx, cancel := context.WithTimeout(n.life, n.limits.StoreTimeout)
	defer cancel()
	out, err := n.noteLoss(ctx, s)
	if err != nil {
		n.log.Warn("a lost session is not noted; the next sweep tries again", "runtime", s.session.Runtime, "error", err)
	} else if out == outLost {
		n.log.Debug("session lost", "runtime", s.session.Runtime)
	}
}

// noteLoss waits for its turn: who is back by then needs no note.
func (n *Node) noteLoss(ctx context.Context, s *socket) (outcome, error) {
	if err := n.losses.take(ctx); err != nil {
		return outNothing, err
	}
	defer n.losses.end()
	_, out, err := n.change(ctx, event{kind: evLost, runtime: s.session.Runtime, socket: s.id, now: n.now()})
	return out, err
}

// hush says that the socket is not silent, or is over. It is called with Node.mu held.
func (s *socket) hush() {
	if s.silent != nil {
		s.silent.Stop()
		s.silent = nil
	}
}
