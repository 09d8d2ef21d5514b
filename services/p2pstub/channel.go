package p2pstub

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
)

// channel is the sending side of a data channel: a bounded queue in the form of
// its framing's Encoder, which listeners fill and the peer's loop empties.
//
//	listener ─► send ─► Encoder ─► pump ─► data channel
//	  waits while Outgoing bytes      stops when as much is buffered as leaves in a
//	  are in the Encoder              moment (pace), and while framing.Window bytes
//	                                  have not been dealt with at the other side
//
// A short message need not wait for long ones before it: they share the channel.
type channel struct {
	raw     outgoing
	framing string
	flow    bool // the other side has announced flows
	limits  Limits
	sent    counters
	wake    chan struct{} // there is something to pump
	rouse   func()        // has who pumps look at that, who may sleep

	mu     sync.Mutex
	enc    framing.Encoder
	room   chan struct{} // closed when there is room again; nil while no one waits
	closed bool
	pace   pace

	// In bytes of packets, with peerbus.v1 (framing.ConsumedPacket).
	written  uint64 // by us
	consumed uint64 // of these, by the other side
	taken    uint64 // of theirs, by us
	told     uint64 // of these, to the other side
}

// outgoing is what is written to: an *rtc.Channel.
type outgoing interface {
	Write(framing.Packet) error
	Buffered() int
	SetLow(low int)
	OnLow(low int, f func())
	MaxMessage() int
}

// counters are resolved once for a channel.
type counters struct{ messages, bytes prometheus.Counter }

func (m *metrics) countersOf(direction, framing string) counters {
	return counters{m.messages.WithLabelValues(direction, framing), m.bytes.WithLabelValues(direction, framing)}
}

func newChannel(raw outgoing, name string, theirs datasync.Connection, l Limits, m *metrics, rouse func()) (*channel, framing.Decoder) {
	enc, dec := framing.New(name, framing.Options{
		Limits: framing.Limits{Text: raw.MaxMessage()}, Sequels: theirs.Sequels, Rows: theirs.Rows, Packet: min(theirs.Packet, raw.MaxMessage()),
	})
	c := &channel{
		raw: raw, framing: name, limits: l, sent: m.countersOf("out", name), wake: make(chan struct{}, 1), rouse: rouse, enc: enc,
		pace: newPace(l.LowWater, l.HighWater),
	}
	raw.OnLow(c.pace.low(), c.signal)
	return c, dec
}

func (c *channel) signal() {
	select {
	case c.wake <- struct{}{}:
		c.rouse()
	default:
	}
}

// send queues a message, and waits while the queue is full, which the bus is told. 413 when
// the other side cannot take it, 503 when the channel is closed.
func (c *channel) send(ctx context.Context, m codec.Carried) error {
	room, err := c.add(m)
	if room == nil {
		return err
	}
	sign := time.NewTicker(c.limits.Sign)
	defer sign.Stop()
	for room != nil {
		select {
		case <-room:
			room, err = c.add(m)
		case <-sign.C:
			client.Waiting(ctx)
		case <-ctx.Done():
			return fault.From(ctx.Err())
		}
	}
	return err
}

// add queues a message, or gives what to wait for.
func (c *channel) add(m codec.Carried) (room <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fault.New(fault.Unavailable, "the P2P connection is closed")
	}
	if c.full(m) {
		if c.room == nil {
			c.room = make(chan struct{})
		}
		return c.room, nil
	}
	if err := c.enc.Carry(m); err != nil {
		return nil, err
	}
	c.sent.messages.Add(float64(m.Len()))
	c.signal()
	return nil, nil
}

// full tells whether a message has to wait. Long ones leave as much room for short
// ones as they take.
func (c *channel) full(m codec.Carried) bool {
	most := c.limits.Outgoing
	if m.Size() < shortMessage {
		most *= 2
	}
	return c.enc.Pending() >= most
}

// shortMessage is what fits into a packet with others, in bytes.
const shortMessage = 8 << 10

// pump writes packets until there is none or enough is under way.
func (c *channel) pump() error {
	if err := c.tellConsumed(); err != nil {
		return err
	}
	for c.mayWrite() {
		more, err := c.writeOne()
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// mayWrite tells whether less is buffered than leaves in a moment.
func (c *channel) mayWrite() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pace.look(time.Now(), c.written, c.raw.Buffered()) {
		c.raw.SetLow(c.pace.low())
	}
	c.enc.Lengthen(c.pace.fast())
	return c.raw.Buffered() < c.pace.high // looked at after SetLow: nobody says that it is low already
}

func (c *channel) writeOne() (more bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.framing == framing.PeerBus && c.written-c.consumed >= framing.Window {
		return false, nil
	}
	p, ok := c.enc.Next()
	if !ok {
		return false, nil
	}
	if c.room != nil && c.enc.Pending() < 2*c.limits.Outgoing {
		close(c.room)
		c.room = nil
	}
	c.written += uint64(len(p.Data))
	c.sent.bytes.Add(float64(len(p.Data)))
	return true, c.raw.Write(p)
}

// tellEvery is how many bytes are dealt with before the other side is told: often
// enough that its window does not run dry.
const tellEvery = framing.Window / 8

// took counts a packet of the other side that has been dealt with.
func (c *channel) took(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken += uint64(bytes); c.taken-c.told >= tellEvery { // a length
		c.signal()
	}
}

func (c *channel) tellConsumed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.framing != framing.PeerBus || c.taken-c.told < tellEvery {
		return nil
	}
	c.told = c.taken
	return c.raw.Write(framing.ConsumedPacket(c.told))
}

// hear takes what the other side says that it has dealt with. More than was
// written, or less than before, is nonsense.
func (c *channel) hear(consumed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if consumed > c.consumed && consumed <= c.written {
		c.consumed = consumed
		c.signal()
	}
}

// stop drops what the other side has given up; tell lets it know what was given
// up here.
func (c *channel) stop(cancelled []framing.Cancel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range cancelled {
		c.enc.Stop(one)
	}
}

func (c *channel) tell(one framing.Cancel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enc.Tell(one)
	c.signal()
}

// empty tells whether all that was queued has left.
func (c *channel) empty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed || c.enc.Pending() == 0 && c.raw.Buffered() == 0
}

// close ends sending, and gives what has not left.
func (c *channel) close() []*pb.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	return c.enc.Drain()
}
