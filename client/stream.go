package client

import (
	"context"
	"errors"
	"slices"
	"sync"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

type stream = grpc.BidiStreamingClient[pb.AttachRequest, pb.AttachResponse]

// stream opens the stream, puts the listeners back, and serves it until it
// breaks.
func (b *Bus) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := pb.NewMessageBusClient(b.cfg.Conn).Attach(ctx)
	if err != nil {
		return err
	}
	defer b.broke()
	if err := b.hello(s); err != nil {
		return err
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		defer cancel() // ends the reader too
		b.write(ctx, s)
	})
	err = b.read(s)
	cancel()
	writer.Wait()
	return err
}

// hello attaches, and waits for the outcome of every listener, so that nothing
// is sent before its answer can be received.
func (b *Bus) hello(s stream) error {
	b.unsaid(b.out.renew())
	err := s.Send(&pb.AttachRequest{Hello: &pb.Hello{Name: b.cfg.Name, Component: b.cfg.Component}})
	if err != nil {
		return recvError(s, err)
	}
	first, err := s.Recv()
	if err != nil {
		return err
	}
	if first.Welcome == nil {
		return errors.New("the bus did not say welcome")
	}
	changes, of := b.listenerChanges()
	waiting := map[uint64]*Listener{}
	for batch := range slices.Chunk(changes, listenersAFrame) {
		for _, c := range batch {
			waiting[c.Sequence] = of[c.Sequence]
		}
		if err := s.Send(&pb.AttachRequest{Listeners: batch}); err != nil {
			return recvError(s, err)
		}
		if err := b.putBack(s, waiting); err != nil {
			return err
		}
	}
	b.attach(first.Welcome.RuntimeUrl)
	return nil
}

// putBack waits for the outcomes of a batch of listeners. The next one is not
// sent before: the bus reads no further while its outcomes are not taken.
func (b *Bus) putBack(s stream, waiting map[uint64]*Listener) error {
	for len(waiting) > 0 {
		resp, err := s.Recv()
		if err != nil {
			return err
		}
		for _, o := range resp.Outcomes {
			if l, err := waiting[o.Sequence], refusal(o); l != nil && err != nil {
				b.refuse(l, err)
			}
			delete(waiting, o.Sequence)
		}
		b.deliver(resp.Deliveries)
	}
	return nil
}

// listenerChanges gives what puts all listeners on a new stream, and which one
// each of them is of, by its sequence number.
func (b *Bus) listenerChanges() (changes []*pb.ListenerChange, of map[uint64]*Listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of = map[uint64]*Listener{}
	var own, aliases []*pb.ListenerChange
	for _, l := range b.listeners {
		if l.led {
			continue
		}
		c := l.change()
		c.Sequence = b.sequence.Add(1)
		of[c.Sequence] = l
		l.placed, l.refused = true, nil
		if c.LeadsTo == "" {
			own = append(own, c)
		} else {
			aliases = append(aliases, c)
		}
	}
	return append(own, aliases...), of // an alias may lead to one of our own
}

func (b *Bus) attach(runtimeURL string) {
	b.mu.Lock()
	b.runtimeURL, b.attached = runtimeURL, true
	close(b.ready)
	b.mu.Unlock()
	b.out.signal()
	if b.cfg.OnAttach != nil {
		b.cfg.OnAttach()
	}
}

// listenersAFrame bounds a frame of listener changes: addresses are long.
const listenersAFrame = 256

// refuse notes that a listener could not be put on a new stream.
func (b *Bus) refuse(l *Listener, err error) {
	b.cfg.Log.Error("listener was refused by the bus", "address", l.address, "leads_to", l.leadsTo, "error", err)
	b.mu.Lock()
	defer b.mu.Unlock()
	l.refused = err
}

// unsaid ends the calls of listener changes that no stream has carried: they
// were queued as the one before it had broken.
func (b *Bus) unsaid(changes []*pb.ListenerChange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, change := range changes {
		if c := b.calls[change.Sequence]; c != nil {
			c.outcome <- streamBroke
			delete(b.calls, change.Sequence)
		}
	}
}

// up tells whether the stream is there.
func (b *Bus) up() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.attached
}

// broke ends the calls that were written to the stream. Those still in the
// outbox go to the next one, except for listener changes, which renew drops.
func (b *Bus) broke() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.attached {
		b.attached, b.ready = false, make(chan struct{})
	}
	for _, l := range b.listeners {
		l.placed = false
	}
	queued := b.out.queued()
	for sequence, c := range b.calls {
		if !queued[sequence] {
			c.outcome <- streamBroke
			delete(b.calls, sequence)
		}
	}
}

// recvError gives the reason why a stream ended, which Send does not know.
func recvError(s stream, err error) error {
	if _, why := s.Recv(); why != nil {
		return why
	}
	return err
}

// write sends what is queued, as much as fits into a frame. What ends the
// stream is the reader's to tell.
func (b *Bus) write(ctx context.Context, s stream) {
	for {
		req := b.out.next()
		if req == nil {
			select {
			case <-b.out.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if s.Send(req) != nil {
			return
		}
	}
}

func (b *Bus) read(s stream) error {
	for {
		resp, err := s.Recv()
		if err != nil {
			return err
		}
		for _, o := range resp.Outcomes {
			b.finish(o)
		}
		b.deliver(resp.Deliveries)
	}
}

func (b *Bus) finish(o *pb.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.calls[o.Sequence]; c != nil {
		c.outcome <- o
		delete(b.calls, o.Sequence)
	}
}

func (b *Bus) deliver(deliveries []*pb.Delivery) {
	for _, d := range deliveries {
		if l := b.listener(d.Listener); l != nil {
			l.push(d)
			continue
		}
		b.cfg.Log.Warn("delivery for no listener of this attachment", "listener", d.Listener)
	}
}

func (b *Bus) listener(name string) *Listener {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.listeners[name]; l != nil && l.leadsTo == "" {
		return l
	}
	return b.listeners["*"]
}
