package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/codec"
)

// stream is one Attach call. Its reader is the goroutine of Run.
type stream struct {
	writer
	bus   *Bus
	epoch int // counts the streams of the attachment

	// owned by the reader
	in      codec.Received
	placing map[uint64]*Listener // that hello has asked for, by sequence number
}

// stream opens a stream, puts the listeners back, and serves it until it breaks
// or ctx is done; then it ends in order, once the handlers are idle. It tells how
// long it was attached.
func (b *Bus) stream(ctx context.Context, idle <-chan struct{}) (lasted time.Duration, err error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		if b.up() { // the bus is to know that the listeners do not come back
			_ = run.Sleep(life, b.cfg.Limits.Goodbye)
		}
		end()
	})()
	call, err := pb.NewMessageBusClient(b.cfg.Conn).Attach(life, grpc.ForceCodecV2(codec.GRPC{}))
	if err != nil {
		return 0, err
	}
	s := &stream{writer: writer{stream: call}, bus: b, in: codec.Received{Whole: isStub(b.cfg.Component), Lends: b.lends}, placing: map[uint64]*Listener{}}
	defer b.broke()
	if err := s.hello(); err != nil {
		return 0, err
	}
	began := time.Now()
	b.out.open(&s.writer)
	defer b.out.ended(&s.writer)
	var writing sync.WaitGroup
	writing.Go(func() { s.write(life, idle) })
	err = s.read()
	end()
	writing.Wait()
	return time.Since(began), err
}

// hello attaches, and waits for the outcome of every listener, so that nothing
// is sent before its answer can be received.
func (s *stream) hello() error {
	b := s.bus
	epoch, unsaid := b.out.renew()
	s.epoch = epoch
	b.unsaid(unsaid)
	hello := &pb.Hello{Name: b.cfg.Name, Component: b.cfg.Component, Origin: b.origin, Attachment: uint64(epoch), Sequels: !isStub(b.cfg.Component), FlowSequels: takesRows(b.cfg.Component)} // it counts up
	if err := s.stream.SendMsg(&pb.AttachRequest{Hello: hello}); err != nil {
		return s.why(err)
	}
	if err := s.stream.RecvMsg(&s.in); err != nil {
		return err
	}
	welcome := s.in.Welcome
	if welcome == nil {
		return errors.New("the bus did not say welcome")
	}
	s.sequels = welcome.Sequels
	b.rows.Store(welcome.FlowSequels)
	s.receive()
	changes, of := b.listenerChanges()
	for batch := range slices.Chunk(changes, listenersAFrame) {
		if err := s.putBack(batch, of); err != nil {
			return err
		}
	}
	b.attach(welcome.RuntimeUrl)
	return nil
}

// listenersAFrame bounds a frame of listener changes: addresses are long.
const listenersAFrame = 256

// putBack asks for a batch of listeners, and waits for their outcomes. The next
// one is not sent before: the bus reads no further while its outcomes are not
// taken.
func (s *stream) putBack(batch []*pb.ListenerChange, of map[uint64]*Listener) error {
	for _, c := range batch {
		s.placing[c.Sequence] = of[c.Sequence]
	}
	if err := s.stream.SendMsg(&pb.AttachRequest{Listeners: batch}); err != nil {
		return s.why(err)
	}
	for len(s.placing) > 0 {
		if err := s.stream.RecvMsg(&s.in); err != nil {
			return err
		}
		s.receive()
	}
	return nil
}

// why gives the reason why a stream ended, which SendMsg does not know.
func (s *stream) why(err error) error {
	if why := s.stream.RecvMsg(&s.in); why != nil {
		return why
	}
	return err
}

// write sends what is queued until life ends; when the handlers are idle it closes
// this side of the stream behind that. What ends the stream otherwise is the
// reader's to tell.
func (s *stream) write(life context.Context, idle <-chan struct{}) {
	out, leaving := s.bus.out, false
	for {
		for frame := out.take(&s.writer); frame != nil; frame = out.take(&s.writer) {
			out.write(&s.writer, frame)
		}
		if leaving && out.shut() {
			_ = s.stream.CloseSend()
			return
		}
		select {
		case <-out.wake:
		case <-life.Done():
			return
		case <-idle:
			leaving, idle = true, nil
		}
	}
}

func (s *stream) read() error {
	for {
		if err := s.stream.RecvMsg(&s.in); err != nil {
			return err
		}
		s.receive()
	}
}

// receive takes what a frame has.
func (s *stream) receive() {
	for _, o := range s.in.Outcomes {
		if l := s.placing[o.GetSequence()]; l != nil {
			delete(s.placing, o.GetSequence())
			s.bus.placed(l, o)
			continue
		}
		s.bus.finish(o)
	}
	s.bus.out.settle(s.in.Settled)
	all := s.in.Deliveries
	for _, g := range s.in.Groups {
		to := group{g.Listener, s.epoch, g.Length, g.Lot}
		if g.Lot != nil {
			s.deliver(to, nil)
			continue
		}
		s.deliver(to, all[:g.Length])
		all = all[g.Length:]
	}
}

// deliver hands messages to their listener. Of one that has been taken before the place
// goes there, as credit is given in order.
func (s *stream) deliver(g group, all []codec.Delivered) {
	b := s.bus
	l := b.listener(g.name)
	switch {
	case l == nil:
		// They were under way when their listener was closed, and the bus deals with them.
		b.cfg.Log.Debug("delivery for no listener of this attachment", "listener", g.name)
		return
	case b.marks == nil:
	case g.lot != nil:
		b.markLot(g.name, g.lot)
	default:
		b.mark(g.name, all)
	}
	l.push(g, all)
}

func (b *Bus) listener(name string) *Listener {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.listeners[name]; l != nil && l.leadsTo == "" {
		return l
	}
	return b.listeners["*"]
}

// lends tells whether the messages for a listener are lent to it.
func (b *Bus) lends(name string) bool {
	l := b.listener(name)
	return l != nil && l.opener.Lends
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

// placed notes what a new stream says of a listener.
func (b *Bus) placed(l *Listener, o *pb.Outcome) {
	err := refusal(o)
	if err == nil {
		return
	}
	b.cfg.Log.Error("listener was refused by the bus", "address", l.address, "leads_to", l.leadsTo, "error", err)
	b.mu.Lock()
	defer b.mu.Unlock()
	l.refused = err
}

func (b *Bus) attach(runtimeURL string) {
	b.mu.Lock()
	b.runtimeURL, b.attached = runtimeURL, true
	close(b.ready)
	b.mu.Unlock()
	if b.cfg.OnAttach != nil {
		b.cfg.OnAttach()
	}
}

// unsaid ends the calls of listener changes that no stream has carried: they
// were queued as the one before it had broken.
func (b *Bus) unsaid(changes []*pb.ListenerChange) {
	for _, change := range changes {
		if c := b.endCall(change.Sequence); c != nil {
			c.outcome <- streamBroke
		}
	}
}

// up tells whether the stream is there.
func (b *Bus) up() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.attached
}

// broke ends the calls that were written to the stream and cannot be repeated.
// What is kept or still queued goes to the next one, except for listener changes,
// which renew drops.
func (b *Bus) broke() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.attached {
		b.attached, b.ready = false, make(chan struct{})
	}
	for _, l := range b.listeners {
		l.placed = false
	}
	for sequence, c := range b.calls {
		if c.post == nil || b.out.lost(c.post) {
			c.outcome <- streamBroke
			delete(b.calls, sequence)
		}
	}
}
