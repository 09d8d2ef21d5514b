package p2pstub

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// largestPacket is what a framing has, in bytes, and a little more.
func largestPacket(name string) int {
	if name == framing.PeerBus {
		return framing.LongPacket + 1024
	}
	return framing.DefaultLimits().Text + 1
}

// read takes what comes over the channel until it is closed.
func (p *peer) read(raw *rtc.Reader, c *channel, u *pulse, decoder framing.Decoder) {
	received := p.stub.metrics.countersOf("in", c.framing)
	for {
		packet, err := raw.Read()
		if errors.Is(err, io.EOF) {
			p.tell(event{kind: channelGone, reason: "the data channel was closed by the other side"})
			return
		}
		u.heardData()
		if err != nil {
			p.stub.metrics.drop(dropTooLarge)
			continue
		}
		received.bytes.Add(float64(len(packet.Data)))
		got, err := decoder.Decode(packet)
		if err != nil {
			p.stub.metrics.drop(dropInvalid)
			p.log.Debug("bad packet", "error", err)
		}
		received.messages.Add(float64(got.Messages.Count()))
		if got.Consumed > 0 {
			c.hear(got.Consumed)
			continue
		}
		p.received(c, got)
		c.took(len(packet.Data))
	}
}

func (p *peer) received(c *channel, got framing.Received) {
	var validator message.Validator
	for _, m := range got.Messages {
		p.take(c, m, validator.Validate(m))
	}
	for _, wrong := range got.Wrong {
		p.answerPeer(c, wrong.Message, wrong.Why)
	}
	for _, progress := range got.Progress {
		_ = p.toBus(c, codec.Bare(progress.Provisional())) // it has been told
	}
	c.stop(got.Cancelled)
	for _, one := range got.GivenUp {
		if c.tell(one); c.framing != framing.PeerBus {
			_, _ = c.add(codec.Bare(framing.CancelMessage(p.public, p.invitee, one))) // a full queue: it goes on sending
		}
	}
}

// observed tells whether each message is looked at as it goes by: rows are taken apart then.
func (p *peer) observed() bool {
	return p.stub.point.On() || p.log.Enabled(context.Background(), slog.LevelDebug)
}

// take hands a message of the other side to the bus, unless something is wrong with it. Of a row
// what is found is found of the first message: the bus looks at the others.
func (p *peer) take(c *channel, m codec.Carried, wrong error) {
	head := m.Head()
	switch {
	case m.Len() > 1 && (wrong != nil || p.isOwn(head.To) || p.observed()):
		for one := range m.Each() {
			p.take(c, one, message.Validate(one.Message()))
		}
		return
	case wrong != nil:
		p.stub.metrics.drop(dropInvalid)
		p.answerPeer(c, m.Message(), wrong)
		return
	case head.To == p.url || head.To == p.public:
		p.stub.metrics.drop(dropStub)
		p.answerPeer(c, m.Message(), fault.New(fault.BadRequest, "a P2P stub takes no %s over its data channel", head.Type))
		return
	case isChangesOf(head.To, p.ours()):
		p.stub.metrics.drop(dropChanges)
		return
	}
	noted, span := p.stub.point.Start(head, tracing.Receive)
	if noted != head {
		m = codec.Bare(noted)
	}
	p.trace("from peer", noted)
	span.End(p.toBus(c, m))
}

// isOwn tells whether an address is the stub's own: what is for that goes on to nobody.
func (p *peer) isOwn(to string) bool {
	return to == p.url || to == p.public || isChangesOf(to, p.ours())
}

// isChangesOf tells whether an address is that of the changes of an object; an empty one
// has none.
func isChangesOf(to, object string) bool {
	rest, is := strings.CutPrefix(to, object)
	return is && object != "" && rest == address.ChangesSuffix
}

// toBus posts what came from the other side. A refusal goes to its sender by
// itself.
func (p *peer) toBus(c *channel, m codec.Carried) error {
	if !p.stub.bus.TakesRow(m, p.url) {
		var errs error
		for one := range m.Each() {
			errs = errors.Join(errs, p.toBus(c, one))
		}
		return errs
	}
	err := p.stub.bus.Carry(p.ctx, m, p.url, p.from...)
	if err != nil {
		for one := range m.Each() {
			p.stub.metrics.drop(dropRefused)
			p.answerPeer(c, one.Message(), err)
		}
	}
	return err
}

// answerPeer tells the sender of a request over the channel what is wrong.
func (p *peer) answerPeer(c *channel, m *pb.Message, err error) {
	if m.Id != "" && m.From != "" && m.To != "" && !message.IsResponse(m) {
		_, _ = c.add(codec.Bare(message.Refuse(p.stub.point.Mark(m, tracing.Refuse, err), err))) // a full queue: its time runs out instead
	}
}

// deliver takes a message from the bus to the other side. It runs on the
// goroutine of a mini bus listener, and holds that up while the channel is slow.
func (p *peer) deliver(ctx context.Context, m codec.Carried) {
	if m.Head().Via == p.url {
		p.stub.metrics.drop(dropLoop)
		return
	}
	var err error = errClosed
	c := p.out.Load()
	if m.Len() > 1 && (c == nil || !c.flow || p.observed()) {
		for one := range m.Each() {
			p.deliver(ctx, one)
		}
		return
	}
	if c != nil {
		p.trace("to peer", m.Head())
		m = message.OutwardCarried(m)
		if !c.flow {
			m = codec.Bare(message.WithoutFlow(m.Message()))
		}
		sent, span := p.stub.point.Start(m.Head(), tracing.Send)
		if sent == m.Head() {
			err = c.send(ctx, m)
		} else {
			err = c.send(ctx, codec.Bare(sent))
		}
		span.End(err)
	}
	if err != nil {
		for one := range m.Each() {
			p.stub.metrics.drop(dropReason(err))
			p.stub.refuse(ctx, one.Message(), err)
		}
	}
}

func (p *peer) trace(what string, m *pb.Message) {
	if !p.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	log := p.log
	if id := message.TraceID(m); id != "" {
		log = log.With("trace_id", id)
	}
	log.Debug(what, "type", m.Type, "from", m.From, "to", m.To)
}
