package framing

import "github.com/peerbus/peerbus/protocol/message"

// Limits bound one channel's Encoder and Decoder. Zero fields take the
// defaults.
type Limits struct {
	// Packet is the largest packet in bytes; with peerbus.v1, Headroom more, or LongPacket.
	// Default 16 KiB: what every WebRTC implementation takes, and long enough that its cost
	// per byte is low.
	Packet int
	// Whole is how many bytes the messages of a packet with sequels have at most.
	// Default 8 times Packet: messages of a few bytes between long addresses become as
	// much shorter.
	Whole int
	// Text is the largest text packet of the older framing in bytes. Default
	// 64 KiB, the limit of a channel whose description states none (RFC 8841).
	Text int
	// Message is the largest message in bytes, with its resource. Default
	// message.MaxSize, as on every path.
	Message int
	// Transfers is how many messages may be under reassembly. Default 64: eight
	// senders that interleave as many as we do.
	Transfers int
	// Reassembly is how many bytes may be under reassembly. Default 16 MiB: four
	// of the largest messages.
	Reassembly int
	// Interleaved is how many long messages an Encoder cuts up at a time.
	// Default 8: enough that one does not hold up the others.
	Interleaved int
}

// datagram is how many bytes of a packet pion's SCTP sends in one datagram. Nearly all that
// a packet costs is its datagrams, however little is in the last one: so packets that are
// full are about as long as some whole ones.
const datagram = 1200

// Headroom is for what stands around a body that fills a packet, in bytes: it need not
// be cut. Both together are 14 datagrams.
const Headroom = 14*datagram - 16<<10

// LongPacket is the largest packet of peerbus.v1, in bytes, to a peer that has announced
// that it takes it, over a path that is fast: 28 datagrams, so that most packets waste
// little of their last one. Longer ones would cost no less per byte, and hold up what comes
// behind them.
const LongPacket = 28 * datagram

// DefaultLimits are used for the fields of Limits that are zero.
func DefaultLimits() Limits {
	return Limits{
		Packet: 16 << 10, Whole: 128 << 10, Text: 64 << 10, Message: message.MaxSize,
		Transfers: 64, Reassembly: 16 << 20, Interleaved: 8,
	}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct {
		have *int
		or   int
	}{
		{&l.Packet, d.Packet}, {&l.Whole, d.Whole}, {&l.Text, d.Text}, {&l.Message, d.Message},
		{&l.Transfers, d.Transfers}, {&l.Reassembly, d.Reassembly}, {&l.Interleaved, d.Interleaved},
	} {
		if *f.have <= 0 {
			*f.have = f.or
		}
	}
	return l
}
