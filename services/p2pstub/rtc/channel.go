package rtc

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/pion/datachannel"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/framing"
)

// Channel is the open data channel of a Peer. Its Reader is for one goroutine, the
// other methods for another.
type Channel struct {
	raw channelStream
	max int

	mu    sync.Mutex
	ended bool // there is nothing to be read any more
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
func (c *Channel) Buffered() int { return int(c.raw.BufferedAmount()) } // bounded by the water marks

// OnLow has f called when Buffered falls to low. It must not block.
func (c *Channel) OnLow(low int, f func()) {
	c.SetLow(low)
	c.raw.OnBufferedAmountLow(f)
}

// SetLow changes what is low.
func (c *Channel) SetLow(low int) {
	c.raw.SetBufferedAmountLowThreshold(uint64(low)) // a limit
}

// ErrTooLong is a packet that did not fit into the buffer; it is lost.
var ErrTooLong = fault.New(fault.TooLarge, "packet is longer than what is read at most")

// errShort is a packet that does not fit into the buffer, and is still there.
var errShort = errors.New("short buffer")

// read waits for a packet; its data is in buf.
func (c *Channel) read(buf []byte) (framing.Packet, error) {
	n, text, err := c.raw.ReadDataChannel(buf)
	switch {
	case err == nil:
		return framing.Packet{Text: text, Data: buf[:n]}, nil
	case errors.Is(err, io.ErrShortBuffer):
		return framing.Packet{}, errShort
	case errors.Is(err, os.ErrDeadlineExceeded):
		return framing.Packet{}, err
	default:
		return framing.Packet{}, io.EOF
	}
}

// skip takes a packet out that is longer than size. pion keeps it until there is room
// for it, and there is never more of it than it keeps for a reader that is behind.
func (c *Channel) skip(size int) error {
	for size < sctpBuffer {
		size = min(2*max(size, 1<<10), sctpBuffer)
		if _, err := c.read(make([]byte, size)); !errors.Is(err, errShort) {
			break // it is out, or the channel is over, as the next Read finds
		}
	}
	return ErrTooLong
}

// end has Read end once what has come is read. pion does so itself, but for a channel
// that it opens while the association ends: that one is forgotten, and who reads it
// would wait for ever.
func (c *Channel) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.interrupt()
}

// wake has who reads look up from it once.
func (c *Channel) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupt()
}

func (c *Channel) interrupt() { _ = c.raw.SetReadDeadline(time.Unix(1, 0)) } // it never fails

// goesOn tells whether the channel goes on after an interruption, and has it do so.
func (c *Channel) goesOn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		_ = c.raw.SetReadDeadline(time.Time{}) // it never fails
	}
	return !c.ended
}
