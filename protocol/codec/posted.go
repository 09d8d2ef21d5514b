package codec

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// A post is encoded in two parts, as a client posts it again on another stream with the
// same content and another head:
//
//	AttachRequest.posts │ head: sequence, wait, timeout, number, again │ content: message, ingress

// Content is what stays the same of a post, measured: nobody may change what it leads to
// until it is encoded. It is used once.
type Content struct {
	message *pb.Message
	id      []byte
	ingress *pb.Ingress
	inner   int // bytes of the message
	size    int
}

// NewContent measures a post of a message. id is for one that has none; ingress may be
// nil.
func NewContent(m *pb.Message, id []byte, ingress *pb.Ingress) Content {
	c := Content{message: m, ingress: ingress, inner: Size(m)}
	if m.Id == "" {
		c.id = id
		c.inner += sizeLong(len(id))
	}
	c.size = sizeWith(c.inner)
	if ingress != nil {
		c.size += sizeWith(sizeText(ingress.RemoteRuntimeUrl))
	}
	return c
}

// To is the address that the message is for.
func (c *Content) To() string { return c.message.GetTo() }

// Size in bytes.
func (c *Content) Size() int { return c.size }

// MessageSize is that of the encoded message.
func (c *Content) MessageSize() int { return c.inner }

// Encode fills b, which has Size bytes.
func (c *Content) Encode(b []byte) (err error) {
	w := writer{b: b, at: len(b)}
	defer w.fits(&err)
	if c.ingress != nil {
		end := w.end()
		w.text(1, c.ingress.RemoteRuntimeUrl)
		w.close(5, end)
	}
	end := w.end()
	if err := w.allButID(c.message); err != nil {
		return err
	}
	if c.message.Id == "" {
		w.bytes(1, c.id)
	} else {
		w.text(1, c.message.Id)
	}
	w.close(2, end)
	return nil
}

// Head is what a post has besides its content, as in pb.Post.
type Head struct {
	Sequence, Number uint64
	Wait             pb.Wait
	Timeout          time.Duration // 0 for none
	Again            bool
}

// MaxHead bounds the bytes of a head, with the tag and the length of its post.
const MaxHead = 64

func (h *Head) size() int {
	n := sizeNumber(h.Sequence) + sizeNumber(uint64(h.Wait)) + sizeNumber(h.Number) + sizeFlag(h.Again) //nolint:gosec // as protobuf has it
	if h.Timeout != 0 {
		n += sizeWith(h.sizeTimeout())
	}
	return n
}

func (h *Head) parts() (seconds, nanos uint64) {
	return uint64(h.Timeout / time.Second), uint64(h.Timeout % time.Second) //nolint:gosec // as protobuf has it
}

func (h *Head) sizeTimeout() int {
	seconds, nanos := h.parts()
	return sizeNumber(seconds) + sizeNumber(nanos)
}

// AppendHead begins a post of an AttachRequest, whose content of so many bytes is to
// follow.
func AppendHead(b []byte, h Head, content int) []byte {
	b = append(b, tag(3, bytes))
	b = protowire.AppendVarint(b, uint64(h.size()+content)) //nolint:gosec // a size
	b = appendNumber(b, 1, h.Sequence)
	b = appendNumber(b, 3, uint64(h.Wait)) //nolint:gosec // as protobuf has it
	if h.Timeout != 0 {
		seconds, nanos := h.parts()
		b = append(b, tag(4, bytes), byte(h.sizeTimeout()))
		b = appendNumber(b, 1, seconds)
		b = appendNumber(b, 2, nanos)
	}
	b = appendNumber(b, 6, h.Number)
	if h.Again {
		b = append(b, tag(7, varint), 1)
	}
	return b
}

// AppendCredit adds a credit to an AttachRequest.
func AppendCredit(b []byte, listener string, credit uint32) []byte {
	b = append(b, tag(4, bytes))
	b = protowire.AppendVarint(b, uint64(sizeText(listener)+sizeNumber(uint64(credit)))) //nolint:gosec // a size
	if listener != "" {
		b = append(b, tag(1, bytes))
		b = protowire.AppendString(b, listener)
	}
	return appendNumber(b, 2, uint64(credit))
}

// MaxCredit bounds the bytes of a credit.
func MaxCredit(listener string) int { return len(listener) + 32 }

func appendNumber(b []byte, field byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag(field, varint)), v)
}
