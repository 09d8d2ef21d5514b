package bus

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// stream is one Attach or Listen call. Its reader alone takes requests, its
// writer alone sends; they and everybody who delivers to it meet in the fields
// guarded by mu.
type stream struct {
	bus     *Bus
	limits  *Limits
	metrics *metrics
	name    string
	comp    pb.Component
	// peer is the replica of the bus that the stream is of; empty for any other one.
	peer string
	// attachment is which of its client's streams it is.
	attachment atomic.Uint64
	// unlimited is set for a Listen call: its listeners give no credit.
	unlimited bool
	// sequels is set for a client that takes them.
	sequels bool
	// rows is set for a stub that takes messages of a flow in rows.
	rows bool
	// warned: it is in the log that a listener was refused. The reader's.
	warned bool
	// origin of its posts; nil when they have none.
	origin *origin
	cancel context.CancelCauseFunc // ends it
	gone   chan struct{}           // closed when it has left nothing here
	wake   chan struct{}           // has a token when there may be something to send
	room   chan struct{}           // has a token when held has gone down
	held   atomic.Int64            // bytes charged to it as a poster
	leaves atomic.Int64            // bytes that gRPC has to send
	burst  burst
	spare  []post // the reader's: posts that are made
	dealt  dealt  // the reader's: a place for what a credit settles

	lastSource lastSource // of its posts

	// guarded by table.mu
	listeners map[added]struct{}
	clients   map[added]string // of another replica: whose listeners they are, when of one client alone

	mu       sync.Mutex
	opened   uint64            // inboxes of another replica
	inboxes  map[string]*inbox // by the name that deliveries carry
	ready    fifo[*inbox]      // in turn; each has something that it may send
	outcomes fifo[*pb.Outcome]
	settling settling
	queued   int  // bytes in the queues of all inboxes
	star     int  // window of the listener `*`; 0 without one
	left     bool // its client has closed it, and does not come back
	away     bool // its client was told to attach to another replica
	told     int  // bytes of outcomes
	closed   bool
	sending  bool                        // somebody has his turn (turn.go)
	wanted   bool                        // the writer waits for that to end
	frame    outgoing                    // who has his turn has it
	send     func(*codec.Response) error // set before the first turn; nil where only the writer has any
}

func newStream(b *Bus, name string, component pb.Component) *stream {
	return &stream{
		bus: b, limits: &b.limits, metrics: b.metrics, name: name, comp: component,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), gone: make(chan struct{}),
		listeners: map[added]struct{}{}, inboxes: map[string]*inbox{},
	}
}

func (s *stream) component() pb.Component { return s.comp }

func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// outcome queues an answer. It is charged until it has been sent, so that a
// stream that does not take its answers is not read from either.
func (s *stream) outcome(o *pb.Outcome, by *burst) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.origin.outcome(s, o)
		return
	}
	s.outcomes.push(o)
	s.charge(outcomeCost(o))
	s.told += codec.SizeOfOutcome(o)
	s.mu.Unlock()
	s.wakeBy(by)
}

func outcomeCost(o *pb.Outcome) int { return codec.SizeOfOutcome(o) + overhead }

func (s *stream) charge(bytes int) {
	s.held.Add(int64(bytes))
	if bytes < 0 {
		select {
		case s.room <- struct{}{}:
		default:
		}
	}
}

// overdraws tells whether a charge would be more than the stream may have.
func (s *stream) overdraws(bytes int) bool {
	return s.held.Load()+int64(bytes) > int64(s.limits.HeldBytes)
}

func (s *stream) overdrawn() bool { return s.held.Load() > int64(s.limits.HeldBytes) }

// hold waits while the stream has overdrawn. Each post and outcome is charged
// for a bounded time, unless the other side stops reading.
func (s *stream) hold(ctx context.Context) error {
	if s.overdrawn() {
		s.metrics.holds.Inc()
	}
	for s.overdrawn() {
		select {
		case <-s.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *stream) sendBack(p *post, addresses ...string) {
	for _, a := range addresses {
		s.mu.Lock()
		in := s.inboxes[a]
		s.mu.Unlock()
		if in != nil {
			s.bus.offer(p, []*inbox{in})
			return
		}
	}
}

func (s *stream) carryOut(verdicts []verdict) { s.bus.carryOut(verdicts) }

// attach serves an Attach call: hello, welcome, then reader and writer until
// one of them ends.
func (b *Bus) attach(call pb.MessageBus_AttachServer) error {
	var first codec.Request
	if err := call.RecvMsg(&first); err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return fault.New(fault.BadRequest, "the first request has no hello")
	}
	s := newStream(b, hello.GetName(), componentOr(hello.GetComponent()))
	s.sequels, s.rows = hello.GetSequels(), hello.GetFlowSequels()
	if err := b.mesh.admit(call.Context(), s, hello); err != nil {
		return err
	}
	ctx, leave, err := b.enter(call.Context(), s)
	if err != nil {
		return err
	}
	defer leave()
	if err := b.join(s, hello); err != nil {
		return err
	}
	// What gRPC has to send of compressed frames is not known (turn.go), and nobody needs
	// them on one machine.
	if err := grpc.SetSendCompressor(call.Context(), encoding.Identity); err != nil {
		return err
	}
	if err := call.Send(&pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: b.runtimeURL, Sequels: true, FlowSequels: true}}); err != nil {
		return err
	}
	s.frame.Leaves = &s.leaves
	s.send = func(f *codec.Response) error { return call.SendMsg(f) }
	return s.serve(ctx,
		func(ctx context.Context) error { return s.read(ctx, &first, call.RecvMsg) },
		func(ctx context.Context) error { return s.write(ctx, s.send) })
}

// join finds out which client's stream it is, or which replica's, and ends an earlier
// one, wherever it is.
func (b *Bus) join(s *stream, hello *pb.Hello) (err error) {
	if s.peer != "" {
		return b.mesh.enter(s, hello)
	}
	s.attachment.Store(hello.GetAttachment())
	if err = b.origins.attach(s, hello.GetOrigin()); err != nil || s.origin == nil {
		return err
	}
	verdicts, err := b.table.clientHere(s)
	b.carryOut(verdicts)
	return err
}

// serve runs the parts of a call until the first one ends, or the bus does. A
// part may sit in Recv or Send, which only the end of the call frees; so parts
// outlive this function for the moment that gRPC takes, and Run waits for them.
func (s *stream) serve(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, part := range parts {
		s.bus.streams.running.Go(func() { cancel(part(ctx)) })
	}
	<-ctx.Done()
	return endOf(context.Cause(ctx))
}

func componentOr(c pb.Component) pb.Component {
	if _, known := pb.Component_name[int32(c)]; !known || c == pb.Component_COMPONENT_UNSPECIFIED {
		return pb.Component_COMPONENT_APPLICATION
	}
	return c
}
