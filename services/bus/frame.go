package bus

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

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
	messages int           // in them
	fronts   []byte        // of what is encoded in front of the parts of batches
}

func (f *outgoing) clear() {
	for _, d := range f.Deliveries {
		if d != nil {
			d.Reset()
		}
	}
	clear(f.Encoded)
	if f.messages, f.fronts = 0, f.fronts[:0]; cap(f.fronts) > frameBytes {
		f.fronts = nil
	}
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

// addPart puts posts of a batch into the frame, for a listener.
func (f *outgoing) addPart(p part, to *inbox) {
	f.messages += p.len()
	if !p.of.inRow() {
		f.addOwned(nil, p)
		return
	}
	for p.len() > 0 {
		n := 1
		if to.takesRow(p) {
			n = p.len()
		}
		some := p.cut(n)
		first := some.cut(1)
		from := len(f.fronts)
		f.fronts = p.of.row.AppendDelivery(f.fronts, to.name, first.encoded(), first.first(), len(some.encoded()))
		f.addOwned(f.fronts[from:], some)
	}
}

func (f *outgoing) addOwned(front []byte, p part) {
	parts := codec.Parts{Front: front}
	if p.len() > 0 {
		p.of.needed.Add(1)
		parts.Deliveries, parts.Owner = p.encoded(), p.of
	}
	f.Deliveries, f.Encoded = append(f.Deliveries, nil), append(f.Encoded, parts)
}

// take makes a frame of what is queued: outcomes first, then the listeners in
// turn, a message or what fits of a batch each. Nil when there is nothing. The next call ends its use.
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
	for frame.messages < codec.FrameMessages && len(frame.Deliveries) < message.MaxFrames && s.ready.len() > 0 {
		in := *s.ready.first()
		if in.queue.len() > 0 {
			size := in.queue.first().firstSize() + len(in.name)
			if bytes > 0 && bytes+size > codec.FrameLimit(size) {
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
