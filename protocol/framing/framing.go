package framing

import (
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// Names of the framings. The first is what a Connection object announces.
const (
	PeerBus = "peerbus.v1"
	Rethink = "rethink"
)

// Packet is one message of the data channel.
type Packet struct {
	Text bool
	Data []byte
}

// Encoder gives the packets of the messages that it is given.
type Encoder interface {
	// Add takes a message, which must not change afterwards. 413 when this
	// framing cannot carry it.
	Add(m *pb.Message) error
	// Carry is Add of a message whose bytes may be known.
	Carry(c codec.Carried) error
	// Next gives the next packet, whose data is valid until the next call, and
	// false when there is none.
	Next() (Packet, bool)
	// Lengthen says whether packets may be as long as the peer takes, as on a path so fast
	// that nothing waits long behind one. Before the first call they may not.
	Lengthen(yes bool)
	// Pending is how many bytes of messages have been added and have not left.
	Pending() int
	// Stop drops a message that the peer does not want any more.
	Stop(c Cancel)
	// Tell has the peer told that a transfer was given up here. The older framing has no
	// packet for that: there it takes a message (CancelMessage).
	Tell(c Cancel)
	// Drain takes out the messages that have not left completely.
	Drain() []*pb.Message
}

// Decoder gives the messages of the packets that it is given.
type Decoder interface {
	// Decode takes one packet. With an error (400, 413, 429) the rest of the
	// packet still counts, and what is Received is good.
	Decode(p Packet) (Received, error)
}

// Received is what came with a packet.
type Received struct {
	Messages  codec.Messages
	Wrong     []Wrong // older framing: what is no message that can be delivered
	Progress  []Progress
	Cancelled []Cancel // the peer has given them up: stop sending
	GivenUp   []Cancel // given up here: tell the peer
	// Consumed is how many bytes of packets the peer has dealt with, when the
	// packet says that and nothing else.
	Consumed uint64
}

// Wrong is a message as far as it can be read, and what is wrong with it.
type Wrong struct {
	Message *pb.Message
	Why     error
}

// Window is how many bytes of packets of peerbus.v1 may be under way, from the sender's
// encoder to the receiver's bus. 720 KiB: as datagrams, even of packets with one small
// message of a flow each, that is less than the 1,000,000 bytes that pion keeps for a DTLS
// that is behind. It drops what comes after those, and when that is all that was under way,
// SCTP notices after a second. It is also smaller than the receive buffer of any SCTP that
// we know, with our setting: when that is full the association stops for seconds, as pion
// does not tell that there is room again.
const Window = 720 << 10

// ConsumedPacket tells the peer how many bytes of its packets have been dealt
// with.
func ConsumedPacket(total uint64) Packet {
	b := protowire.AppendTag(nil, frameConsumed, protowire.VarintType)
	return Packet{Data: protowire.AppendVarint(b, total)}
}

// Cancel names a transfer that its receiver gives up: by number in peerbus.v1,
// by the message's from, to and id in the older framing.
type Cancel struct {
	Number   uint64
	Resource string
}

// Progress tells how much of a long message has come in.
type Progress struct {
	Message *pb.Message // without its content
	Percent int
}

// Provisional is the 183 that a receiver posts on its own bus while a long
// message comes in: a response with the message's own from, to and id.
func (p Progress) Provisional() *pb.Message {
	return &pb.Message{
		Id: p.Message.Id, Type: message.Response, From: p.Message.From, To: p.Message.To,
		Body: message.MarshalBody(struct {
			Code  int `json:"code"`
			Value int `json:"value"`
		}{183, p.Percent}),
	}
}

// Options of a channel.
type Options struct {
	Limits Limits
	// Sequels and Rows say that the peer takes them (peerbus.v1 alone).
	Sequels, Rows bool
	// Packet is the longest packet that the peer says to take, in bytes (peerbus.v1 alone); 0
	// where it says none, or fewer than every reader takes. More than LongPacket counts as that.
	Packet int
	// Now is for the sending time that older peers want; nil takes time.Now.
	Now func() time.Time
	// UUID names a message of the older framing; nil draws one of 12 characters.
	UUID func() string
}

// New makes the Encoder and the Decoder of one end of a channel. Any name but PeerBus means
// the older framing.
func New(name string, o Options) (Encoder, Decoder) {
	o.Limits = o.Limits.orDefaults()
	if name == PeerBus {
		return newPeerBusEncoder(o), newPeerBusDecoder(o.Limits)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.UUID == nil {
		o.UUID = drawUUID
	}
	return newRethinkEncoder(o), newRethinkDecoder(o.Limits)
}

// drawUUID draws 12 characters, 62 bits: they only tell the open transfers of
// one channel apart.
func drawUUID() string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	b := make([]byte, uuidUnits)
	for i := range b {
		b[i] = digits[rand.IntN(len(digits))]
	}
	return string(b)
}
