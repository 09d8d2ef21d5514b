package p2pstub

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// channel is the sending side of a data channel: a bounded queue in the form of
// its framing's Encoder, which listeners fill and the peer's loop empties.
//
//	listener ─► send ─► Encoder ─► pump ─► data channel
//	  waits while Outgoing bytes      stops at HighWater bytes
//	  are in the Encoder              until LowWater are left
type channel struct {
	raw     *rtc.Channel
	framing string
	limits  Limits
	sent    counters
	wake    chan struct{} // there is something to pump

	mu     sync.Mutex
	enc    framing.Encoder
	room   chan struct{} // closed when there is room again; nil while no one waits
	closed bool
}

// counters are resolved once for a channel.
type counters struct{ messages, bytes prometheus.Counter }

func (m *metrics) countersOf(direction, framing string) counters {
	return counters{m.messages.WithLabelValues(direction, framing), m.bytes.WithLabelValues(direction, framing)}
}

func newChannel(raw *rtc.Channel, name string, l Limits, m *metrics) (*channel, framing.Decoder) {
	enc, dec := framing.New(name, framing.Options{Limits: framing.Limits{Text: raw.MaxMessage()}})
	c := &channel{
		raw: raw, framing: name, limits: l, sent: m.countersOf("out", name), wake: make(chan struct{}, 1), enc: enc,
	}
	raw.OnLow(l.LowWater, c.signal)
	return c, dec
}

func (c *channel) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// send queues a message, and waits while the queue is full. 413 when the other
// side cannot take it, 503 when the channel is closed.
func (c *channel) send(ctx context.Context, m *pb.Message) error {
	for {
		room, err := c.add(m)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return fault.From(ctx.Err())
		}
	}
}

// add queues a message, or gives what to wait for.
func (c *channel) add(m *pb.Message) (room <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fault.New(fault.Unavailable, "the P2P connection is closed")
	}
	if c.enc.Pending() >= c.limits.Outgoing {
		if c.room == nil {
			c.room = make(chan struct{})
		}
		return c.room, nil
	}
	if err := c.enc.Add(m); err != nil {
		return nil, err
	}
	c.sent.messages.Inc()
	c.signal()
	return nil, nil
}

// pump writes packets until there is none or enough is buffered.
func (c *channel) pump() error {
	for c.raw.Buffered() < c.limits.HighWater {
		more, err := c.writeOne()
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (c *channel) writeOne() (more bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.enc.Next()
	if !ok {
		return false, nil
	}
	if c.room != nil && c.enc.Pending() < c.limits.Outgoing {
		close(c.room)
		c.room = nil
	}
	c.sent.bytes.Add(float64(len(p.Data)))
	return true, c.raw.Write(p)
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
