package nodestub

import (
	"context"
	"errors"
	"io"
	"log/slog"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// conn is an open connection with a Message Node, over gRPC or a WebSocket.
// Send and Receive may run beside each other, Close beside both.
type conn interface {
	// Send hands over messages in order, and gives how many it has. A fault
	// with the code TooLarge is about the next message alone; after any other
	// error the connection is of no use. io.EOF means that Receive has the
	// reason.
	Send(ctx context.Context, batch codec.Messages) (int, error)
	// Receive waits for messages. What is no message has none.
	Receive(ctx context.Context) (codec.Messages, error)
	// Finish says, after the last Send, that nothing more comes. When the node has
	// taken all that was sent it ends the connection, and with it Receive.
	Finish(ctx context.Context) error
	// Close ends it at once and makes Send and Receive return.
	Close()
}

// link is one connection of a session, from the look-up of its node to its end.
// It reports to the session, and decides nothing.
type link struct {
	session *session
	openID  string           // id of the `open` that is sent over it
	control chan *pb.Message // open and close; goes before the queue
	cancel  context.CancelFunc
	done    chan struct{}
}

// startLink begins a connection; hangUp ends it.
func startLink(ctx context.Context, s *session, openID string) *link {
	l := &link{session: s, openID: openID, control: make(chan *pb.Message, 2), done: make(chan struct{})}
	ctx, l.cancel = context.WithCancel(ctx)
	go func() {
		defer close(l.done)
		l.run(ctx)
	}()
	return l
}

// hangUp ends the link and waits for its end.
func (l *link) hangUp() {
	l.cancel()
	<-l.done
}

func (l *link) run(ctx context.Context) {
	c, where, err := l.session.connect(ctx)
	if fault.CodeOf(err) == fault.NotFound {
		l.report(ctx, unknown{fault.From(err).Description})
		return
	}
	if err != nil {
		l.report(ctx, lost{reason: fault.From(err).Description})
		return
	}
	l.report(ctx, connected{where.String()})
	err = run.All(ctx,
		func(ctx context.Context) error { return l.read(ctx, c) },
		func(ctx context.Context) error { return l.write(ctx, c) },
		func(ctx context.Context) error {
			<-ctx.Done()
			c.Close()
			return nil
		},
	)
	if err != nil {
		l.report(ctx, lost{reason: fault.From(err).Description, stopping: isStopping(err)})
	}
}

// stops is the word of a node that stops, over a WebSocket.
type stops struct{ error }

func (s stops) Unwrap() error { return s.error }

// isStopping tells the word of a node that stops from all else that ends a connection.
// Over gRPC it is an error that is not our own.
func isStopping(err error) bool {
	var own *fault.Error
	return errors.As(err, &stops{}) || !errors.As(err, &own) && fault.EndLevel(err) == slog.LevelInfo
}

// report hands an event to the session, unless that has hung up.
func (l *link) report(ctx context.Context, e event) {
	select {
	case l.session.events <- e:
	case <-ctx.Done():
	}
}

func (l *link) read(ctx context.Context, c conn) error {
	for {
		batch, err := c.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return fault.New(fault.Unavailable, "the node ended the connection")
		}
		if err != nil {
			return err
		}
		if err := l.receive(ctx, batch); err != nil {
			return err
		}
	}
}

func (l *link) receive(ctx context.Context, batch codec.Messages) error {
	in := incoming{posted: l.session.metrics.tally(directionIn, outcomePosted)}
	defer in.posted.end()
	for _, c := range batch {
		if m := c.Head(); m.GetFrom() == address.Session && l.answersOpen(c.Message()) {
			l.opened(ctx, c.Message())
			continue
		}
		if err := l.session.receive(ctx, c, &in); err != nil {
			return err
		}
	}
	return nil
}

func (l *link) answersOpen(m *pb.Message) bool {
	return m.GetFrom() == address.Session && message.IsResponse(m) && message.AnswerKey(m).ID == l.openID
}

// opened reports the final answer to `open`.
func (l *link) opened(ctx context.Context, m *pb.Message) {
	l.session.metrics.count(directionIn, outcomeSession, m)
	code, err := message.Result(m)
	if code < 200 {
		return
	}
	e := opened{code: code}
	if err != nil {
		e.reason = fault.From(err).Description
	}
	var body struct {
		Token string `json:"runtimeToken"`
	}
	if err := message.UnmarshalBody(m, &body); err != nil {
		e.code, e.reason = fault.BadRequest, "the answer to open: "+fault.From(err).Description
	}
	e.token = body.Token
	l.report(ctx, e)
}

// write sends control messages first, then the queue while it is let out. It ends
// when all is sent and nothing more comes; the reader goes on, until the node has
// ended the connection.
func (l *link) write(ctx context.Context, c conn) error {
	for {
		control, batch := l.next(ctx)
		var err error
		switch {
		case control != nil:
			err = l.sendControl(ctx, c, control)
		case batch != nil:
			err = l.sendBatch(ctx, c, batch)
		case ctx.Err() == nil:
			return c.Finish(ctx)
		default:
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil // the reader has the reason
		}
		if err != nil {
			return err
		}
	}
}

// next waits for something to send; it gives nothing when ctx is done, or when the
// queue is finished.
func (l *link) next(ctx context.Context) (control *pb.Message, batch []queued) {
	queue := l.session.out
	for ctx.Err() == nil {
		select {
		case m := <-l.control:
			return m, nil
		default:
		}
		if batch := queue.batch(); batch != nil {
			return nil, batch
		}
		if queue.isFinished() {
			return nil, nil
		}
		select {
		case m := <-l.control:
			return m, nil
		case <-queue.wake:
		case <-ctx.Done():
		}
	}
	return nil, nil
}

func (l *link) sendControl(ctx context.Context, c conn, m *pb.Message) error {
	if _, err := c.Send(ctx, codec.Messages{codec.Bare(m)}); err != nil {
		return err
	}
	l.session.metrics.count(directionOut, outcomeSent, m)
	return nil
}

// sendBatch sends all of a batch that the connection takes. What could not be
// sent stays queued for the next one.
func (l *link) sendBatch(ctx context.Context, c conn, batch []queued) error {
	s := l.session
	for _, q := range batch {
		s.trace(ctx, "to node", q.Head())
	}
	messages, spans := s.sending(batch)
	sent := s.metrics.tally(directionOut, outcomeSent)
	defer sent.end()
	gone := 0
	var err error
	for gone < len(batch) && err == nil {
		var n int
		n, err = c.Send(ctx, messages[gone:])
		for i := range batch[gone : gone+n] {
			sent.add(batch[gone+i].Head(), batch[gone+i].size)
		}
		spans.end(gone, gone+n, nil)
		gone += n
		if err != nil && fault.CodeOf(err) == fault.TooLarge {
			s.refuse(ctx, messages[gone].Message(), err)
			spans.end(gone, gone+1, err)
			gone, err = gone+1, nil
		}
	}
	spans.end(gone, len(batch), err)
	for _, c := range s.out.sent(gone) {
		s.refuse(ctx, c.Message(), errStubClosed)
	}
	return err
}
