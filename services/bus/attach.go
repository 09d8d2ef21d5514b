package bus

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
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

// newPost makes a post of the stream. A few are made together, and share what they take
// until the last of them is settled.
func (s *stream) newPost(m *pb.Message) *post {
	if len(s.spare) == 0 {
		s.spare = make([]post, postsTogether)
	}
	p := &s.spare[0]
	s.spare = s.spare[1:]
	p.m, p.by, p.burst = m, s, &s.burst
	return p
}

const postsTogether = 8

// read takes requests, the first of which it is given, until the stream ends. It waits for nothing but the
// stream itself, and for room when the stream has overdrawn.
func (s *stream) read(ctx context.Context, req *codec.Request, recv func(any) error) error {
	req.Room = codec.OriginSize(s.origin.identity(), math.MaxUint64)
	for {
		for _, c := range req.Credits {
			s.credit(c)
		}
		if s.peer != "" {
			s.takeReplica(&req.AttachRequest)
		} else {
			s.takeRequest(req)
		}
		req.Clear() // it may be long until the next one
		if err := s.hold(ctx); err != nil {
			return err
		}
		if err := recv(req); err != nil {
			s.leaving(err)
			return err
		}
	}
}

func (s *stream) takeRequest(req *codec.Request) {
	for _, c := range req.Listeners {
		s.change(c)
	}
	if len(req.Posts)+len(req.Runs) == 0 {
		return
	}
	s.burst.begin()
	next := 0
	for i := range req.Runs {
		for ; next < req.Runs[i].Before; next++ {
			s.post(req.Posts[next], req.Encoded[next])
		}
		s.takeRun(req, &req.Runs[i])
	}
	for ; next < len(req.Posts); next++ {
		s.post(req.Posts[next], req.Encoded[next])
	}
	s.burst.end()
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
	settled := &s.dealt
	var verdicts []verdict
	switch in := s.inboxes[c.GetListener()]; {
	case in == nil, in.number != c.GetQueue():
	case in.number != 0 && c.GetRefused().GetCode() >= int32(fault.BadRequest):
		verdicts = in.refuse(c.GetBytes(), refuse(reasonRemote, fault.Code(c.GetRefused().GetCode()), "%s", c.GetRefused().GetDescription()))
	default:
		in.credit(c.GetBytes(), settled)
	}
	s.mu.Unlock()
	s.bus.finishAll(settled.posts)
	s.bus.finishParts(settled.parts)
	settled.clear()
	s.bus.carryOut(verdicts)
}

// dealt is what a listener has dealt with.
type dealt struct {
	posts []*post
	parts []part
}

// keepSettled is how many places for settled posts a stream keeps.
const keepSettled = 1024

func (d *dealt) clear() {
	clear(d.posts)
	clear(d.parts)
	d.posts, d.parts = d.posts[:0], d.parts[:0]
	if cap(d.posts)+cap(d.parts) > keepSettled {
		*d = dealt{}
	}
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
		s.outcome(out, nil)
		s.charge(-outcomeCost(out))
	})
}

func (s *stream) post(in *pb.Post, encoded []byte) {
	p := s.newPost(in.GetMessage())
	p.encoded = encoded
	p.sequence, p.wait, p.ingress = in.GetSequence(), in.GetWait(), in.GetIngress()
	p.number, p.again = in.GetNumber(), in.GetAgain()
	if in.GetTimeout() != nil {
		d := in.GetTimeout().AsDuration()
		p.timeout = &d
	}
	if p.m != nil && p.ingress == nil && (len(p.m.Origin) > 0 || p.m.Number > 0) {
		p.m.Origin, p.m.Number, p.encoded = nil, 0, nil // the bus's to say
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

// taking is what goes with making a frame.
type taking struct {
	frame    *outgoing
	accepted []*post    // what was let into a queue by that
	sent     []handed   // what is dealt with once the frame is sent
	hungry   []*outflow // that wait for the room
}

// outgoing is the frame that a stream's writer sends. Its memory is used again for the next one.
type outgoing struct {
	codec.Response
	places   []pb.Delivery // of Deliveries
	batches  []*batch      // that they are of
	messages int           // in them
}

func (f *outgoing) clear() {
	for _, d := range f.Deliveries {
		if d != nil {
			d.Reset()
		}
	}
	clear(f.Encoded)
	f.messages = 0
	deliveries, encoded := f.Deliveries[:0], f.Encoded[:0]
	f.AttachResponse.Reset()
	f.Deliveries, f.Encoded = deliveries, encoded
}

// add puts a delivery into the frame. Its message is encoded already, or not (nil).
func (f *outgoing) add(encoded codec.Parts) *pb.Delivery {
	if f.places == nil {
		f.places = make([]pb.Delivery, message.MaxFrames)
	}
	d := &f.places[len(f.Deliveries)]
	f.Deliveries, f.Encoded = append(f.Deliveries, d), append(f.Encoded, encoded)
	f.messages++
	return d
}

// addPart puts posts of a batch into the frame.
func (f *outgoing) addPart(p part) {
	p.of.needed.Add(1)
	f.batches = append(f.batches, p.of)
	f.Deliveries, f.Encoded = append(f.Deliveries, nil), append(f.Encoded, codec.Parts{Deliveries: p.deliveries()})
	f.messages += p.len()
}

// sent gives back what it has of batches.
func (f *outgoing) sent() {
	for _, b := range f.batches {
		b.free(1)
	}
	clear(f.batches)
	f.batches = f.batches[:0]
}

// take makes a frame of what is queued: outcomes first, then the listeners in
// turn, a message each. Nil when there is nothing. The next call ends its use.
func (s *stream) take() (next *codec.Response, sent []handed) {
	s.mu.Lock()
	f := &s.frame
	f.clear()
	bytes := s.takeOutcomes(f)
	taking := s.takeDeliveries(f, bytes)
	if s.outcomes.len() == 0 { // a post that is settled is kept no more: its outcome comes before
		f.Settled = s.settling.take()
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
	s.bus.traceDelivered(s, f.Deliveries)
	if len(f.Outcomes)+len(f.Deliveries)+len(f.Settled) == 0 {
		return nil, nil
	}
	return &f.Response, taking.sent
}

func (s *stream) takeOutcomes(frame *outgoing) (bytes int) {
	for len(frame.Outcomes) < message.MaxFrames && s.outcomes.len() > 0 {
		size := codec.SizeOfOutcome(*s.outcomes.first())
		if bytes > 0 && bytes+size > frameBytes {
			break
		}
		frame.Outcomes = append(frame.Outcomes, s.outcomes.pop())
		s.told -= size
		bytes += size
	}
	return bytes
}

func (s *stream) takeDeliveries(frame *outgoing, bytes int) taking {
	t := taking{frame: frame}
	for frame.messages < message.MaxFrames && s.ready.len() > 0 {
		in := *s.ready.first()
		if in.queue.len() > 0 {
			size := in.queue.first().firstSize() + len(in.name)
			if bytes > 0 && bytes+size > frameBytes {
				break
			}
			bytes += in.send(&t, frameBytes-bytes)
		}
		s.ready.pop()
		in.ready = false
		in.arm() // for the next frame, which comes without a signal
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
	var first codec.Request
	if err := call.RecvMsg(&first); err != nil {
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
	// What gRPC has to send of compressed frames is not known (turn.go), and nobody needs
	// them on one machine.
	if err := grpc.SetSendCompressor(call.Context(), encoding.Identity); err != nil {
		return err
	}
	if err := call.Send(&pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: b.runtimeURL}}); err != nil {
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
