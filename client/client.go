package client

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/message"
)

// Config of an attachment.
type Config struct {
	// Conn is the connection to the bus. It stays the caller's.
	Conn grpc.ClientConnInterface
	// Name is for the logs of the bus.
	Name string
	// Component defaults to COMPONENT_APPLICATION.
	Component pb.Component
	// OnAttach is called after each attachment, once all listeners are in
	// place. It must not block.
	OnAttach func()
	Limits   Limits
	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Bus is one attachment. Its methods may be called by several goroutines, also
// before Run.
type Bus struct {
	cfg      Config
	out      *outbox
	sequence atomic.Uint64

	mu         sync.Mutex
	runtimeURL string
	ready      chan struct{} // closed while attached; made anew when the stream breaks
	attached   bool
	over       bool
	listeners  map[string]*Listener
	calls      map[uint64]*call
	start      func(*Listener) // set while Run runs
}

// call waits for an outcome.
type call struct {
	outcome chan *pb.Outcome // has room for one
}

// New makes an attachment; Run opens it.
func New(cfg Config) (*Bus, error) {
	if cfg.Conn == nil {
		return nil, fault.New(fault.BadRequest, "client: no connection to the bus")
	}
	if cfg.Component == pb.Component_COMPONENT_UNSPECIFIED {
		cfg.Component = pb.Component_COMPONENT_APPLICATION
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Limits = cfg.Limits.orDefaults()
	return &Bus{
		cfg: cfg, out: newOutbox(cfg.Limits.Outbox), ready: make(chan struct{}),
		listeners: map[string]*Listener{}, calls: map[uint64]*call{},
	}, nil
}

// Ready waits until the attachment is up with all its listeners, and gives the
// URL of the runtime.
func (b *Bus) Ready(ctx context.Context) (string, error) {
	for {
		b.mu.Lock()
		ready, attached, url := b.ready, b.attached, b.runtimeURL
		b.mu.Unlock()
		if attached {
			return url, nil
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return "", fault.New(fault.Unavailable, "the bus cannot be reached: %w", ctx.Err())
		}
	}
}

// Listen calls h for each message that comes for an address. It returns when
// the bus has the listener. One attachment listens to an address once, and leads
// it once to each target; 409 otherwise.
func (b *Bus) Listen(ctx context.Context, address string, h Handler, opts ...ListenOption) (*Listener, error) {
	var named NamedHandler
	if h != nil {
		named = func(ctx context.Context, _ string, m *pb.Message) { h(ctx, m) }
	}
	return b.listen(ctx, address, named, opts)
}

// ListenAll calls h for each message that is led to this attachment under a
// name that none of its listeners has.
func (b *Bus) ListenAll(ctx context.Context, h NamedHandler, opts ...ListenOption) (*Listener, error) {
	return b.listen(ctx, "*", h, opts)
}

func (b *Bus) listen(ctx context.Context, address string, h NamedHandler, opts []ListenOption) (*Listener, error) {
	l := &Listener{
		bus: b, address: address, handle: h, window: b.cfg.Limits.Window,
		wake: make(chan struct{}, 1), dealt: map[string]uint32{},
	}
	for _, o := range opts {
		o(l)
	}
	if (h == nil) != (l.leadsTo != "") {
		return nil, fault.New(fault.BadRequest, "listener %q needs a handler, or another listener to lead to", address)
	}
	if err := b.remember(l); err != nil {
		return nil, err
	}
	if l.led {
		return l, nil
	}
	if err := b.place(ctx, l); err != nil {
		b.forget(l)
		l.stop()
		return nil, err
	}
	return l, nil
}

// place waits until the bus has a listener: a new stream puts it there with
// the others; to one that is up it is told.
func (b *Bus) place(ctx context.Context, l *Listener) error {
	for {
		if _, err := b.Ready(ctx); err != nil {
			return err
		}
		b.mu.Lock()
		placed, refused := l.placed, l.refused
		l.placed = true
		b.mu.Unlock()
		if placed {
			return refused
		}
		err := b.change(ctx, l.change())
		if err != errStreamBroke {
			return err
		}
	}
}

func (l *Listener) change() *pb.ListenerChange {
	return &pb.ListenerChange{Address: l.address, LeadsTo: l.leadsTo, Window: uint32(l.window)} //nolint:gosec // bounded by the caller
}

// key tells the listeners of an attachment apart. One that leads elsewhere is
// never delivered to, so its key is no name that a delivery carries.
func (l *Listener) key() string {
	if l.leadsTo == "" {
		return l.address
	}
	return l.address + "\x00" + l.leadsTo
}

func (b *Bus) remember(l *Listener) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners[l.key()] != nil {
		return fault.New(fault.Conflict, "%q is listened to already", l.address)
	}
	b.listeners[l.key()] = l
	if b.start != nil {
		b.start(l)
	}
	return nil
}

func (b *Bus) forget(l *Listener) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners[l.key()] != l {
		return false
	}
	delete(b.listeners, l.key())
	return true
}

// errStreamBroke says that a change may not have reached the bus.
var errStreamBroke = fault.New(fault.Unavailable, "the stream to the bus broke before it answered")

// change tells the bus of a listener that came or went.
func (b *Bus) change(ctx context.Context, c *pb.ListenerChange) error {
	sequence, call, err := b.newCall()
	if err != nil {
		return err
	}
	c.Sequence = sequence
	b.out.change(c)
	outcome, err := b.await(ctx, sequence, call)
	if err != nil {
		return err
	}
	if outcome == streamBroke {
		return errStreamBroke
	}
	return refusal(outcome)
}

// PostOption changes how a message is posted.
type PostOption func(*pb.Post)

// From says which peer a message came from. Only stubs have that.
func From(ingress *pb.Ingress) PostOption { return func(p *pb.Post) { p.Ingress = ingress } }

// Send queues a message for the bus. It waits while the queue is full. If the
// message is refused, a response to its `from` says why.
func (b *Bus) Send(ctx context.Context, m *pb.Message, opts ...PostOption) error {
	p, err := newPost(m, opts)
	if err != nil {
		return err
	}
	return b.out.post(ctx, p)
}

// Post hands a message to the bus, and waits until a listener or a stub has it
// in its queue. A refusal is a fault (404, 403, 413, 429, …). When the stream
// breaks meanwhile, it is not known whether the bus has it: 503.
func (b *Bus) Post(ctx context.Context, m *pb.Message, opts ...PostOption) error {
	outcome, err := b.call(ctx, m, pb.Wait_WAIT_ACCEPTED, opts)
	if err != nil {
		return err
	}
	return refusal(outcome)
}

// Request posts a message and waits for its response, whatever that one's code
// is; message.Result reads it. ctx's deadline is the time-out; without one,
// Limits.RequestTimeout is. A request that cannot be delivered is a fault.
func (b *Bus) Request(ctx context.Context, m *pb.Message, opts ...PostOption) (*pb.Message, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(b.cfg.Limits.RequestTimeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	timeout := func(p *pb.Post) { p.Timeout = durationpb.New(time.Until(deadline)) }
	outcome, err := b.call(ctx, m, pb.Wait_WAIT_RESPONSE, append(opts, timeout))
	if err != nil {
		return nil, err
	}
	if err := refusal(outcome); err != nil {
		return nil, err
	}
	if outcome.Response == nil {
		return nil, fault.New(fault.Internal, "the bus answered a request without a response")
	}
	return outcome.Response, nil
}

func (b *Bus) call(ctx context.Context, m *pb.Message, wait pb.Wait, opts []PostOption) (*pb.Outcome, error) {
	p, err := newPost(m, opts)
	if err != nil {
		return nil, err
	}
	sequence, call, err := b.newCall()
	if err != nil {
		return nil, err
	}
	p.Sequence, p.Wait = sequence, wait
	if err := b.out.post(ctx, p); err != nil {
		b.endCall(sequence)
		return nil, err
	}
	outcome, err := b.await(ctx, sequence, call)
	if err == nil && outcome == streamBroke {
		err = errStreamBroke
	}
	return outcome, err
}

func newPost(m *pb.Message, opts []PostOption) (*pb.Post, error) {
	if m == nil {
		return nil, fault.New(fault.BadRequest, "message is missing")
	}
	if m.Id == "" {
		m = message.Clone(m)
		m.Id = message.StringID(uuid.NewString())
	}
	if size := proto.Size(m); size > message.MaxSize { // it would end the stream
		return nil, fault.New(fault.TooLarge, "message has %d bytes, more than %d", size, message.MaxSize)
	}
	p := &pb.Post{Message: m}
	for _, o := range opts {
		o(p)
	}
	return p, nil
}

// streamBroke is the outcome of what was under way when the stream broke.
var streamBroke = &pb.Outcome{Code: int32(fault.Unavailable)}

func refusal(o *pb.Outcome) error {
	if o.Code < 400 {
		return nil
	}
	return fault.New(fault.Code(o.Code), "%s", o.Description)
}

func (b *Bus) newCall() (uint64, *call, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, nil, fault.New(fault.Unavailable, "the attachment is closed")
	}
	if len(b.calls) >= b.cfg.Limits.Calls {
		return 0, nil, fault.New(fault.TooMany, "%d calls wait for the bus already", len(b.calls))
	}
	sequence := b.sequence.Add(1)
	c := &call{outcome: make(chan *pb.Outcome, 1)}
	b.calls[sequence] = c
	return sequence, c, nil
}

func (b *Bus) endCall(sequence uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.calls, sequence)
}

func (b *Bus) await(ctx context.Context, sequence uint64, c *call) (*pb.Outcome, error) {
	select {
	case o := <-c.outcome:
		return o, nil
	case <-ctx.Done():
		b.endCall(sequence)
		if b.out.drop(sequence) {
			return nil, fault.New(fault.Unavailable, "the bus cannot be reached: %w", ctx.Err())
		}
		return nil, fault.From(ctx.Err())
	}
}

// Run keeps the attachment up until ctx is done. It is called once.
func (b *Bus) Run(ctx context.Context) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer b.end()
	b.mu.Lock()
	b.start = func(l *Listener) { l.start(ctx, &handlers) }
	for _, l := range b.listeners {
		b.start(l)
	}
	b.mu.Unlock()
	var wait retry.Backoff
	for {
		began := time.Now()
		err := b.stream(ctx)
		if ctx.Err() != nil {
			return nil
		}
		b.cfg.Log.Warn("stream to the bus broke", "name", b.cfg.Name, "error", err)
		if time.Since(began) > retry.DefaultMax {
			wait.Reset()
		}
		if wait.Wait(ctx) != nil {
			return nil
		}
	}
}

// end fails what still waits, after the last stream.
func (b *Bus) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over, b.start = true, nil
	for sequence, c := range b.calls {
		c.outcome <- streamBroke
		delete(b.calls, sequence)
	}
}
