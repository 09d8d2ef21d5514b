package bus

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
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
	// warned: it is in the log that a listener was refused. The reader's.
	warned bool
	// origin of its posts; nil when they have none.
	origin *origin
	cancel context.CancelCauseFunc // ends it
	gone   chan struct{}           // closed when it has left nothing here
	wake   chan struct{}           // has a token when there may be something to send
	room   chan struct{}           // has a token when held has gone down
	held   atomic.Int64            // bytes charged to it as a poster

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
	closed   bool
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
func (s *stream) outcome(o *pb.Outcome) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.origin.outcome(s, o)
		return
	}
	defer s.mu.Unlock()
	s.outcomes.push(o)
	s.charge(outcomeCost(o))
	s.signal()
}

func outcomeCost(o *pb.Outcome) int { return proto.Size(o) + overhead }

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

// read takes requests until the stream ends. It waits for nothing but the
// stream itself, and for room when the stream has overdrawn.
func (s *stream) read(ctx context.Context, recv func() (*pb.AttachRequest, error)) error {
	for {
		req, err := recv()
		if err != nil {
			s.leaving(err)
			return err
		}
		for _, c := range req.Credits {
			s.credit(c)
		}
		if s.peer != "" {
			s.takeReplica(req)
		} else {
			s.takeRequest(req)
		}
		if err := s.hold(ctx); err != nil {
			return err
		}
	}
}

func (s *stream) takeRequest(req *pb.AttachRequest) {
	for _, c := range req.Listeners {
		s.change(c)
	}
	for _, p := range req.Posts {
		s.post(p)
	}
}

// leaving notes that the client has closed the stream of its own will: then its
// listeners do not come back. One that was cut off may.
func (s *stream) leaving(err error) {
	if errors.Is(err, io.EOF) {
		s.mu.Lock()
		s.left = true
		s.mu.Unlock()
	}
}

// returning tells whether the stream has ended, and its listeners may come back.
func (s *stream) returning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed && !s.left &&
		(s.away && !isStub(s.comp) || s.origin != nil && s.comp == pb.Component_COMPONENT_APPLICATION)
}

func (s *stream) credit(c *pb.Credit) {
	s.mu.Lock()
	var settled []*post
	var verdicts []verdict
	switch in := s.inboxes[c.GetListener()]; {
	case in == nil, in.number != c.GetQueue():
	case in.number != 0 && c.GetRefused().GetCode() >= int32(fault.BadRequest):
		verdicts = in.refuse(c.GetBytes(), refuse(reasonRemote, fault.Code(c.GetRefused().GetCode()), "%s", c.GetRefused().GetDescription()))
	default:
		settled = in.credit(c.GetBytes())
	}
	s.mu.Unlock()
	s.bus.finishAll(settled)
	s.bus.carryOut(verdicts)
}

func (s *stream) change(c *pb.ListenerChange) {
	var err error
	if c.GetRemove() {
		err = s.bus.removeListener(s, c.GetAddress(), c.GetLeadsTo())
	} else {
		err = s.bus.addListener(s, c)
	}
	if err != nil {
		s.metrics.refused(reasonOf(err))
	}
	out := outcomeOf(c.GetSequence(), err)
	s.charge(outcomeCost(out)) // it may have to wait for other replicas
	s.bus.mesh.confirm(func() {
		s.outcome(out)
		s.charge(-outcomeCost(out))
	})
}

func (s *stream) post(in *pb.Post) {
	p := newPost(s, in.GetMessage())
	p.sequence, p.wait, p.ingress = in.GetSequence(), in.GetWait(), in.GetIngress()
	p.number, p.again = in.GetNumber(), in.GetAgain()
	if in.GetTimeout() != nil {
		d := in.GetTimeout().AsDuration()
		p.timeout = &d
	}
	if p.m != nil && p.ingress == nil {
		p.m.Origin, p.m.Number = nil, 0 // the bus's to say
	}
	if s.origin == nil || p.ingress != nil || p.number == 0 {
		p.number = 0
		s.bus.post(p)
		return
	}
	s.origin.posting.Lock()
	defer s.origin.posting.Unlock()
	if s.origin.take(s, p) {
		s.bus.post(p)
	}
}

// write sends what is queued, as much as fits into a frame, until ctx is done.
func (s *stream) write(ctx context.Context, send func(*pb.AttachResponse) error) error {
	for {
		frame, sent := s.take()
		if frame == nil {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := send(frame); err != nil {
			s.bus.carryOut(lost(sent, refuse(reasonGone, 503, "the stream of the listener broke")))
			return err
		}
		for _, o := range frame.Outcomes {
			s.charge(-outcomeCost(o))
		}
		for _, h := range sent {
			if h.dealt() {
				s.bus.finish(h.post)
			}
		}
	}
}

// taking is what goes with making a frame.
type taking struct {
	accepted []*post    // what was let into a queue by that
	sent     []handed   // what is dealt with once the frame is sent
	hungry   []*outflow // that wait for the room
	spare    []pb.Delivery
}

// delivery gives an empty one. Those of a frame are made together, and go with it.
func (t *taking) delivery(waiting int) *pb.Delivery {
	if len(t.spare) == 0 {
		t.spare = make([]pb.Delivery, min(waiting, message.MaxFrames))
	}
	d := &t.spare[0]
	t.spare = t.spare[1:]
	return d
}

// take makes a frame of what is queued: outcomes first, then the listeners in
// turn, a message each. Nil when there is nothing.
func (s *stream) take() (frame *pb.AttachResponse, sent []handed) {
	s.mu.Lock()
	frame = &pb.AttachResponse{}
	bytes := s.takeOutcomes(frame)
	taking := s.takeDeliveries(frame, bytes)
	if s.outcomes.len() == 0 { // a post that is settled is kept no more: its outcome comes before
		frame.Settled = s.settling.take()
	}
	s.mu.Unlock()
	for _, p := range taking.accepted {
		if done, err := p.decide(nil); done {
			s.bus.settle(p, err)
		}
	}
	for _, f := range taking.hungry {
		f.pump()
	}
	s.bus.traceDelivered(s, frame.Deliveries)
	if len(frame.Outcomes)+len(frame.Deliveries)+len(frame.Settled) == 0 {
		return nil, nil
	}
	return frame, taking.sent
}

func (s *stream) takeOutcomes(frame *pb.AttachResponse) (bytes int) {
	for len(frame.Outcomes) < message.MaxFrames && s.outcomes.len() > 0 {
		size := proto.Size(*s.outcomes.first())
		if bytes > 0 && bytes+size > frameBytes {
			break
		}
		frame.Outcomes = append(frame.Outcomes, s.outcomes.pop())
		bytes += size
	}
	return bytes
}

func (s *stream) takeDeliveries(frame *pb.AttachResponse, bytes int) (t taking) {
	for len(frame.Deliveries) < message.MaxFrames && s.ready.len() > 0 {
		in := *s.ready.first()
		if in.queue.len() > 0 {
			size := (*in.queue.first()).size + len(in.name)
			if bytes > 0 && bytes+size > frameBytes {
				break
			}
			frame.Deliveries = append(frame.Deliveries, in.send(&t))
			bytes += size
		}
		s.ready.pop()
		in.ready = false
		in.arm()
	}
	return t
}

// lost refuses posts that were under way to a listener, and that no other has.
func lost(sent []handed, why error) (verdicts []verdict) {
	for _, h := range sent {
		h.end(why)
		switch p := h.post; {
		case !p.lost():
		case p.served.Load():
			verdicts = append(verdicts, verdict{post: p, done: true})
		default:
			verdicts = append(verdicts, verdict{post: p, err: why})
		}
	}
	return verdicts
}

// attach serves an Attach call: hello, welcome, then reader and writer until
// one of them ends.
func (b *Bus) attach(call pb.MessageBus_AttachServer) error {
	first, err := call.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return fault.New(fault.BadRequest, "the first request has no hello")
	}
	s := newStream(b, hello.GetName(), componentOr(hello.GetComponent()))
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
	if err := call.Send(&pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: b.runtimeURL}}); err != nil {
		return err
	}
	recv := func() (*pb.AttachRequest, error) {
		if req := first; req != nil {
			first = nil
			return req, nil
		}
		return call.Recv()
	}
	return s.serve(ctx,
		func(ctx context.Context) error { return s.read(ctx, recv) },
		func(ctx context.Context) error { return s.write(ctx, call.Send) })
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
