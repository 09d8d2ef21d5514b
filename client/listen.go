package client

import (
	"context"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// Listen calls h for each message that comes for an address. It returns when
// the bus has the listener: Run must be under way. An address need not be registered, but is
// reached from other runtimes only then, or below this runtime's URL. One attachment listens to an address once, and leads
// it once to each target; 409 otherwise.
func (b *Bus) Listen(ctx context.Context, address string, h Handler, opts ...ListenOption) (*Listener, error) {
	var handle func(context.Context, string, *codec.Delivered)
	if h != nil {
		handle = func(ctx context.Context, _ string, d *codec.Delivered) {
			if d.Len() == 1 { // as mostly
				h(ctx, d.Message())
				return
			}
			for one := range d.Each() {
				h(ctx, one.Message())
			}
		}
	}
	return b.listen(ctx, address, handle, opts)
}

// ListenCarried is Listen for a stub, which passes messages on: h gets each message with
// its encoded bytes, where they are known, and messages that came as a row as a row.
func (b *Bus) ListenCarried(ctx context.Context, address string, h func(context.Context, codec.Carried), opts ...ListenOption) (*Listener, error) {
	return b.listen(ctx, address, func(ctx context.Context, _ string, d *codec.Delivered) {
		h(ctx, d.Carried)
	}, opts)
}

// ListenAll calls h for each message that is led to this attachment under a
// name that none of its listeners has.
func (b *Bus) ListenAll(ctx context.Context, h NamedHandler, opts ...ListenOption) (*Listener, error) {
	return b.listen(ctx, "*", func(ctx context.Context, name string, d *codec.Delivered) {
		for one := range d.Each() {
			h(ctx, name, one.Message())
		}
	}, opts)
}

func (b *Bus) listen(ctx context.Context, address string, h func(context.Context, string, *codec.Delivered), opts []ListenOption) (*Listener, error) {
	l := &Listener{
		bus: b, address: address, handle: h, window: b.cfg.Limits.Window,
		wake: make(chan struct{}, 1),
	}
	for _, o := range opts {
		o(l)
	}
	if (h == nil) != (l.leadsTo != "") {
		return nil, fault.New(fault.BadRequest, "listener %q needs a handler, or another listener to lead to", address)
	}
	if err := message.CheckUTF8("address", address); err != nil {
		return nil, err
	}
	if err := message.CheckUTF8("leads_to", l.leadsTo); err != nil {
		return nil, err
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
	return &pb.ListenerChange{Address: l.address, LeadsTo: l.leadsTo, Window: uint32(l.window)} // bounded by the caller
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

// change tells the bus of a listener that came or went.
func (b *Bus) change(ctx context.Context, c *pb.ListenerChange) error {
	sequence, call, err := b.newCall(nil)
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
