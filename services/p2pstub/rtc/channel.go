package rtc

import (
	"errors"
	"io"
	"time"

	"github.com/pion/datachannel"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/framing"
)

// Channel is the open data channel of a Peer. Read is for one goroutine, the
// other methods for another.
type Channel struct {
	raw channelStream
	max int
}

// channelStream is what pion gives for a detached channel.
type channelStream interface {
	datachannel.ReadWriteCloser
	SetReadDeadline(time.Time) error
	BufferedAmount() uint64
	SetBufferedAmountLowThreshold(uint64)
	OnBufferedAmountLow(func())
}

func newChannel(raw datachannel.ReadWriteCloser, largest int) *Channel {
	stream, _ := raw.(channelStream) // pion's own type, which has the methods
	return &Channel{raw: stream, max: largest}
}

// MaxMessage is the longest packet that the other side takes, in bytes.
func (c *Channel) MaxMessage() int { return c.max }

// Write sends a packet. It does not wait: Buffered tells how much has not left.
func (c *Channel) Write(p framing.Packet) error {
	if _, err := c.raw.WriteDataChannel(p.Data, p.Text); err != nil {
		return fault.New(fault.Unavailable, "data channel: %w", err)
	}
	return nil
}

// Buffered is how many bytes have not left.
func (c *Channel) Buffered() int { return int(c.raw.BufferedAmount()) } //nolint:gosec // bounded by the water marks

// OnLow has f called when Buffered falls to low. It must not block.
func (c *Channel) OnLow(low int, f func()) {
	c.SetLow(low)
	c.raw.OnBufferedAmountLow(f)
}

// SetLow changes what is low.
func (c *Channel) SetLow(low int) {
	c.raw.SetBufferedAmountLowThreshold(uint64(low)) //nolint:gosec // a limit
}

// ErrTooLong is a packet that did not fit into the buffer; it is lost.
var ErrTooLong = fault.New(fault.TooLarge, "packet is longer than the largest")

// Read waits for a packet; its data is in buf. io.EOF after the channel was
// closed; ErrTooLong, after which it goes on.
func (c *Channel) Read(buf []byte) (framing.Packet, error) {
	n, text, err := c.raw.ReadDataChannel(buf)
	switch {
	case errors.Is(err, io.ErrShortBuffer):
		return framing.Packet{}, ErrTooLong
	case err != nil:
		return framing.Packet{}, io.EOF
	}
	return framing.Packet{Text: text, Data: buf[:n]}, nil
}

// end has Read end once what has come is read. pion does so itself, but for a channel
// that it opens while the association ends: that one is forgotten, and who reads it
// would wait for ever.
func (c *Channel) end() {
	_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // it never fails
}
