package codec

import (
	"encoding/binary"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// A post is encoded in two parts, as a client posts it again on another stream with the
// same content and another head:
//
//	AttachRequest.posts │ head: sequence, wait, timeout, number, again │ content: message, ingress

// Head is what a post has besides its content, as in pb.Post.
type Head struct {
	Sequence, Number uint64
	Wait             pb.Wait
	Timeout          time.Duration // 0 for none
	Again            bool
}

// Bounds of the bytes of a head, with the tag and the length of its post: of any, and of one
// that has nothing but a number.
const (
	MaxHead      = 64
	MaxPlainHead = 1 + maxVarint32 + 1 + binary.MaxVarintLen64
)

func (h *Head) size() int {
	n := sizeNumber(h.Sequence) + sizeNumber(uint64(h.Wait)) + sizeNumber(h.Number) + sizeFlag(h.Again) // as protobuf has it
	if h.Timeout != 0 {
		n += sizeWith(h.sizeTimeout())
	}
	return n
}

func (h *Head) parts() (seconds, nanos uint64) {
	return uint64(h.Timeout / time.Second), uint64(h.Timeout % time.Second) // as protobuf has it
}

func (h *Head) sizeTimeout() int {
	seconds, nanos := h.parts()
	return sizeNumber(seconds) + sizeNumber(nanos)
}

// AppendHead begins a post of an AttachRequest, whose content of so many bytes is to
// follow.
func AppendHead(b []byte, h Head, content int) []byte {
	b = appendLength(b, 3, h.size()+content)
	b = appendNumber(b, 1, h.Sequence)
	b = appendNumber(b, 3, uint64(h.Wait)) // as protobuf has it
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

// CutHead gives the content of an encoded post whose head is only a number.
func CutHead(post []byte) []byte {
	_, n := uvarint(post[1:])
	content := post[1+n:]
	if content[0] != tag(6, varint) {
		return content
	}
	_, n = uvarint(content[1:])
	return content[1+n:]
}

// AppendCredit adds a credit to an AttachRequest.
func AppendCredit(b []byte, listener string, credit uint32) []byte {
	b = appendLength(b, 4, sizeText(listener)+sizeNumber(uint64(credit)))
	b = appendText(b, 1, listener)
	return appendNumber(b, 2, uint64(credit))
}

// MaxCredit bounds the bytes of a credit.
func MaxCredit(listener string) int { return len(listener) + 32 }
