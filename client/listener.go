package client

import (
	"context"
	"sync"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// Handler takes a message. It is called on a goroutine of its listener, one message at a
// time and in order. While it works, the bus holds back what exceeds the listener's window.
// ctx ends with Run, and with the listener: to close that, a handler takes another. The handler may keep the message, unless the listener is Borrowed;
// that also keeps the memory of some short ones that came with it. It must not change the
// message: other listeners of the process may have the same one.
type Handler func(ctx context.Context, m *pb.Message)

// NamedHandler is a Handler that is also given the name under which the message was led
// here.
type NamedHandler func(ctx context.Context, listener string, m *pb.Message)

// Listener is what Listen has made for one address.
type Listener struct {
	bus     *Bus
	address string
	leadsTo string
	window  int
	led     bool // another component leads the address here; the bus is not told
	handle  func(ctx context.Context, name string, d *codec.Delivered)

	placed  bool  // the stream that is up has been told; guarded by bus.mu
	refused error // what it said to that; guarded by bus.mu

	mu      sync.Mutex
	queue   inbox         // bounded by the window that the bus keeps to
	wake    chan struct{} // for the goroutine that runs
	closed  bool
	ctx     context.Context // of the handler; nil before Run
	cancel  context.CancelFunc
	workers *workers
	running bool // a goroutine looks after the queue

	// owned by the goroutine that runs
	dealt   dealt  // has a mutex of its own
	answers uint64 // of the attachment, before what has been dealt with
	settles bool   // credit for what has been dealt with settles some of it: it is in no flow
	opener  codec.Opener
	opened  codec.Delivered // a message of a lot; nothing else
	// abandoned: the last message was not dealt with, and no other will be.
	abandoned bool
	size      int // of the message that is handled
	early     int // bytes of it that credit was given for
}

// ListenOption changes what Listen does.
type ListenOption func(*Listener)

// LeadsTo delivers the messages for the address to the stream that listens to another one,
// target, which may be another component's. There they come under the name of the address,
// or of the last one when target leads on. The handler given to Listen must then be nil.
func LeadsTo(target string) ListenOption { return func(l *Listener) { l.leadsTo = target } }

// Window sets how many bytes the bus may have under way to this listener.
func Window(bytes int) ListenOption { return func(l *Listener) { l.window = bytes } }

// Led is for an address that another component leads to this attachment with LeadsTo: the
// handler is registered here only, and the bus is not told.
func Led() ListenOption { return func(l *Listener) { l.led = true } }

// Borrowed lends the handler its messages: each is valid, with its body, until the handler
// returns; then its memory is used again. To keep one, copy it (proto.Clone).
func Borrowed() ListenOption { return func(l *Listener) { l.opener.Lends = true } }

// Address is the address that is listened to.
func (l *Listener) Address() string { return l.address }

// Close takes the listener away, here at once, and at the bus before Close returns.
// Messages that are still in its queue are not handled.
func (l *Listener) Close(ctx context.Context) error {
	if !l.bus.forget(l) {
		return nil
	}
	l.stop()
	if l.led || !l.bus.up() {
		return nil
	}
	err := l.bus.change(ctx, &pb.ListenerChange{Address: l.address, LeadsTo: l.leadsTo, Remove: true})
	if err == errStreamBroke || fault.CodeOf(err) == fault.NotFound {
		return nil // it went with the stream
	}
	return err
}

func (l *Listener) stop() {
	l.mu.Lock()
	l.closed = true
	l.queue = inbox{}
	cancel := l.cancel
	l.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	l.signal()
}

func (l *Listener) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// push hands over deliveries; it never waits.
func (l *Listener) push(g group, all []codec.Delivered) {
	l.mu.Lock()
	if !l.closed {
		l.queue.add(g, all)
	}
	l.work()
	l.mu.Unlock()
	l.signal()
}

// work has a goroutine look after what is queued. The mutex is held.
func (l *Listener) work() {
	if l.ctx != nil && !l.running && !l.closed && len(l.queue.groups) > 0 {
		l.running = l.workers.start(l.run)
	}
}

// take takes all that is queued, and gives the queue the place of what was taken
// before.
func (l *Listener) take(before inbox) (batch inbox, open bool) {
	before.clear()
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, l.queue = l.queue, before
	return batch, !l.closed
}

// start has messages handled from now on, on Run's context. It may be called again.
func (l *Listener) start(ctx context.Context, w *workers) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx != nil || l.closed || l.handle == nil {
		return
	}
	l.workers = w
	l.ctx, l.cancel = context.WithCancel(context.WithValue(ctx, listenerKey{}, l))
	l.work()
}

// listenerKey leads from a handler's context to its listener.
type listenerKey struct{}

// Abandon is called by a handler whose context ends before it has dealt with its message.
// The message then counts as not dealt with: its sender is told so, or it comes again to
// whoever listens next. The listener handles nothing more.
func Abandon(ctx context.Context) {
	if l, ok := ctx.Value(listenerKey{}).(*Listener); ok && ctx.Err() != nil {
		l.abandoned = true
	}
}

// Waiting is called now and then by a handler that waits for something else, from the
// goroutine that it was called on: it gives credit for a byte of the message, so that the
// bus knows that nothing hangs.
func Waiting(ctx context.Context) {
	if l, ok := ctx.Value(listenerKey{}).(*Listener); ok && l.early+1 < l.size {
		l.early++
		l.dealt.bytes.Add(1)
		l.giveAllBack(true)
	}
}

// run handles what is queued, until nothing has come for a while: most listeners are idle,
// and a goroutine that waits has a stack. No timer is set as often as it waits: that would
// wake the thread that waits for the network each time.
func (l *Listener) run() {
	look := time.NewTicker(l.bus.cfg.Limits.Rest)
	defer look.Stop()
	var batch inbox
	for open, idle := true, false; ; {
		if batch, open = l.take(batch); !open || !l.handleAll(l.ctx, &batch) {
			l.giveAllBack(false) // for what has been handled
			return
		}
		if len(batch.groups) > 0 {
			idle = false
			continue
		}
		l.giveAllBack(l.mayLinger())
		select {
		case <-l.wake:
		case <-look.C:
			if idle && l.ends() {
				return // there may be another goroutine by now
			}
			idle = true
		case <-l.ctx.Done():
			return
		}
	}
}

// ends tells whether there is nothing to do: what comes then starts another goroutine.
func (l *Listener) ends() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = len(l.queue.groups) > 0
	return !l.running
}

// handleAll handles what has been taken; false if there is nothing more to do.
func (l *Listener) handleAll(ctx context.Context, batch *inbox) bool {
	all := batch.all
	for _, g := range batch.groups {
		l.begin(g)
		if g.lot != nil {
			if !l.workLot(ctx, g) {
				return false
			}
			continue
		}
		for i := range all[:g.length] {
			if !l.one(ctx, g.name, &all[i], i+1 < g.length) {
				return false
			}
		}
		all = all[g.length:]
	}
	return true
}

// workLot is work of messages that are in a lot.
func (l *Listener) workLot(ctx context.Context, g group) bool {
	defer func() {
		l.opened = codec.Delivered{}
		g.lot.Free()
	}()
	for i := range g.lot.Len() {
		l.opener.Deliver(g.lot, i, &l.opened)
		if !l.one(ctx, g.name, &l.opened, i+1 < g.lot.Len()) {
			return false
		}
	}
	return true
}

// one handles a message, with more of its run behind it; one that has been taken before
// is empty.
func (l *Listener) one(ctx context.Context, name string, d *codec.Delivered, more bool) bool {
	if ctx.Err() != nil {
		return false
	}
	l.size, l.early = d.Size, 0
	if d.Head() != nil {
		l.handle(ctx, name, d)
	}
	if l.abandoned {
		return false
	}
	l.settles = l.settles || d.Head().GetFlow() == nil
	l.giveBack(d.Size-l.early, more)
	return true
}
