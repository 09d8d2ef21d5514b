package rtc

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/peerbus/peerbus/protocol/framing"
)

// smallPacket is what an idle Reader has room for, in bytes: acks of flows, and short
// messages.
const smallPacket = 512

// Reader reads the packets of a Channel. It has a buffer for long ones only from the
// first of them until Rest: of thousands of connections most are idle, and pion wants a
// buffer while it waits.
type Reader struct {
	channel *Channel
	largest int // bytes of a packet
	small   [smallPacket]byte
	large   *[]byte
}

// largeBuffers are for Readers that read long packets.
var largeBuffers = sync.Pool{New: func() any { return new([]byte) }}

// NewReader gives the reader of a channel, for packets of so many bytes at most.
func (c *Channel) NewReader(largest int) *Reader { return &Reader{channel: c, largest: largest} }

// Read waits for a packet, whose data is valid until the next call. io.EOF after the
// channel was closed; ErrTooLong, after which it goes on.
func (r *Reader) Read() (framing.Packet, error) {
	for {
		p, err := r.channel.read(r.buffer())
		switch {
		case errors.Is(err, errShort) && r.large == nil && r.largest > smallPacket:
			r.grow()
		case errors.Is(err, errShort):
			return p, r.channel.skip(r.largest)
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return p, err
		default:
			r.shrink()
			if !r.channel.goesOn() {
				return p, io.EOF
			}
		}
	}
}

// Rest has a Read that waits give the large buffer back. It may be called by another
// goroutine.
func (r *Reader) Rest() { r.channel.wake() }

func (r *Reader) buffer() []byte {
	if r.large == nil {
		return r.small[:min(smallPacket, r.largest)]
	}
	return (*r.large)[:r.largest]
}

func (r *Reader) grow() {
	r.large, _ = largeBuffers.Get().(*[]byte)
	if cap(*r.large) < r.largest {
		*r.large = make([]byte, r.largest)
	}
}

func (r *Reader) shrink() {
	if r.large != nil {
		largeBuffers.Put(r.large)
		r.large = nil
	}
}
