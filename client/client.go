package client

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/once"
)

// Config of an attachment.
type Config struct {
	// Conn is the connection to the bus. It stays the caller's.
	Conn grpc.ClientConnInterface
	// Name is what the bus calls this attachment in its logs.
	Name string
	// Component defaults to COMPONENT_APPLICATION. The posts of another one have no numbers:
	// they are not kept once they are written, and what was under way when a stream broke
	// may be lost. A stub's carry the key of whoever posted them first, and the registry
	// asks again by itself.
	Component pb.Component
	// OnAttach is called after each attachment, the first and all later ones, once all
	// listeners are in place. It must not block.
	OnAttach func()
	Limits   Limits
	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Bus is one attachment. Its methods may be called by several goroutines, also
// before Run.
type Bus struct {
	cfg      Config
	origin   []byte // nil when its posts have no numbers
	out      *outbox
	sequence atomic.Uint64
	marks    *once.Marks // nil at a stub; owned by the reader
	rows     atomic.Bool // the bus takes posts of messages of a flow with sequels

	mu         sync.Mutex
	runtimeURL string
	ready      chan struct{} // closed while attached; made anew when the stream breaks
	attached   bool
	over       bool
	listeners  map[string]*Listener
	calls      map[uint64]*call
	expiry     expiry
	start      func(*Listener) // set while Run runs
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
	b := &Bus{
		cfg: cfg, ready: make(chan struct{}),
		listeners: map[string]*Listener{}, calls: map[uint64]*call{},
		expiry: expiry{every: max(cfg.Limits.RequestTimeout/16, time.Millisecond)},
	}
	if cfg.Component == pb.Component_COMPONENT_APPLICATION {
		id := uuid.New()
		b.origin = id[:]
	}
	if !isStub(cfg.Component) {
		b.marks = once.New(cfg.Limits.Marks)
	}
	b.out = newOutbox(cfg.Limits, newLedger(b.origin != nil, cfg.Limits.Retain, time.Now()))
	return b, nil
}

// isStub tells who takes messages for others: what comes to a stub again must
// leave again.
func isStub(c pb.Component) bool {
	return c == pb.Component_COMPONENT_P2P_STUB || c == pb.Component_COMPONENT_NODE_STUB
}

// takesRows tells whether messages of a flow may come in rows (codec.Carried): to who passes them
// on in such. A Message Node takes each by itself.
func takesRows(c pb.Component) bool { return c == pb.Component_COMPONENT_P2P_STUB }

// Ready waits until the attachment is up with all its listeners, and returns the URL of the
// runtime.
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

// Run keeps the attachment up until ctx is done. Then the handlers return, what is queued
// is sent, and the bus is told goodbye, all within Limits.Goodbye. Run waits for a handler
// that takes longer, but the bus hears nothing more from it. Call it once.
func (b *Bus) Run(ctx context.Context) error {
	idle := b.startAll(ctx)
	defer func() { <-idle }()
	defer b.end()
	var backoff retry.Backoff
	var wait time.Duration
	for {
		lasted, err := b.stream(ctx, idle)
		if ctx.Err() != nil {
			return nil
		}
		b.cfg.Log.Log(ctx, fault.EndLevel(err), "stream to the bus broke", "name", b.cfg.Name, "error", err)
		if lasted > wait { // a restarted bus is found at once, however often that happens
			backoff.Reset()
		}
		wait = backoff.Next()
		if run.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// startAll starts the listeners that there are, and has those started that come.
// idle is closed when ctx is done and all handlers have returned.
func (b *Bus) startAll(ctx context.Context) (idle <-chan struct{}) {
	w := &workers{}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start = func(l *Listener) { l.start(ctx, w) }
	for _, l := range b.listeners {
		b.start(l)
	}
	over := make(chan struct{})
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		b.start = nil
		b.mu.Unlock()
		w.end()
		close(over)
	})
	return over
}

// end fails what still waits, after the last stream.
func (b *Bus) end() {
	b.out.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.expiry.stop()
	for sequence, c := range b.calls {
		c.outcome <- streamBroke
		delete(b.calls, sequence)
	}
}
