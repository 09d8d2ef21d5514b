package codec

import (
	"slices"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Content is the part of a post that does not change when it is posted again. Nobody may
// change what it refers to until it is encoded. It is measured once, then encoded once.
type Content struct {
	Message *pb.Message
	Ingress *pb.Ingress // nil for none

	id    []byte
	usual *Usual // nil, or that of all of the message but for id and body
	inner int    // bytes of the message
	size  int

	encoded []byte // of a message that is passed on as it came
	via     string // what it gets then
	sequels []byte // of one that is a row
	left    int    // bytes that these leave out
}

// ID gives an id to a message that has none.
func (c *Content) ID(id []byte) { c.id = id }

// NewCarried makes the content of a post out of a row, or of a message whose bytes are
// known. The message has no via, and gets one. The content is measured.
func NewCarried(m Carried, via string, ingress *pb.Ingress) Content {
	c := Content{Message: m.head, Ingress: ingress, encoded: m.Encoded, via: via}
	c.measured(len(m.Encoded) + sizeText(via))
	if m.row != nil {
		c.sequels, c.left = m.row.sequels, m.LeftOut(via)
		c.size += len(c.sequels)
	}
	return c
}

// LeftOut bounds how many bytes the sequels leave out.
func (c *Content) LeftOut() int { return c.left }

// MeasureKnown is Measure without a check of the message's texts. It tells whether it could
// do that: when all texts but the id are known to be checked, as the message is carried, or
// has those of the one that was measured last.
func (c *Content) MeasureKnown(u *Usual) bool {
	if c.encoded != nil {
		return true
	}
	if c.Ingress != nil || !u.is(c.Message) {
		return false
	}
	c.usual = u
	c.measured(c.own() + len(u.encoded))
	return true
}

// Measure finds the size of a message whose texts have been checked. It notes these texts,
// as the next message may have the same.
func (c *Content) Measure(u *Usual) {
	c.usual = nil
	c.measured(Size(c.Message) + sizeLong(len(c.id)))
	if u.note(c.Message) && c.Ingress == nil {
		c.usual = u
	}
}

// own is the bytes of id and body.
func (c *Content) own() int {
	return sizeText(c.Message.Id) + sizeLong(len(c.id)) + sizeLong(len(c.Message.Body))
}

// longSequel is of how many bytes a post is never one of a row: it can stay where it is.
const longSequel = 2 << 10

// Row says which row a post may belong to, among those that have been measured for one
// client; 0: to none. Two posts that follow each other with the same row differ in id and
// body only. Ask for it, and encode the content, before another one is measured.
func (c *Content) Row() uint64 {
	if c.usual == nil || c.size >= longSequel || !c.usual.full {
		return 0
	}
	return c.usual.row
}

// AppendSequel encodes the content as a sequel, behind b.
func (c *Content) AppendSequel(b []byte) ([]byte, error) {
	own := c.inner - len(c.usual.encoded)
	b = appendLength(b, 9, own)
	end := len(b) + own
	b = appendBytes(c.appendID(b), 10, c.Message.Body)
	if len(b) != end {
		return nil, errChanged
	}
	return b, nil
}

func (c *Content) appendID(b []byte) []byte {
	return appendBytes(appendText(b, 1, c.Message.Id), 1, c.id)
}

func (c *Content) measured(inner int) {
	c.inner = inner
	c.size = sizeWith(inner)
	if c.Ingress != nil {
		c.size += sizeWith(sizeText(c.Ingress.RemoteRuntimeUrl))
	}
}

// To is the address that the message is for.
func (c *Content) To() string { return c.Message.GetTo() }

// Size is the size of the encoded content, in bytes.
func (c *Content) Size() int { return c.size }

// MessageSize is the size of the encoded message, in bytes.
func (c *Content) MessageSize() int { return c.inner }

// Append encodes the content behind b.
func (c *Content) Append(b []byte) ([]byte, error) {
	if c.usual == nil {
		return c.whole(b)
	}
	end := len(b) + c.size
	b = appendLength(b, 2, c.inner)
	b = append(c.appendID(b), c.usual.encoded...)
	b = appendBytes(b, 10, c.Message.Body)
	if len(b) != end {
		return nil, errChanged
	}
	return b, nil
}

// whole encodes what is not usual.
func (c *Content) whole(b []byte) (_ []byte, err error) {
	b = slices.Grow(b, c.size)
	from := len(b)
	b = b[:from+c.size]
	w := writer{b: b[from:], at: c.size}
	defer w.fits(&err)
	w.raw(c.sequels)
	if c.Ingress != nil {
		end := w.end()
		w.text(1, c.Ingress.RemoteRuntimeUrl)
		w.close(5, end)
	}
	end := w.end()
	if err := c.write(&w); err != nil {
		return nil, err
	}
	w.close(2, end)
	return b, nil
}

func (c *Content) write(w *writer) error {
	if c.encoded != nil {
		w.raw(c.encoded)
		w.text(5, c.via) // before the flow, which is mostly the last and is cut off by the bus
		return nil
	}
	if err := w.allButID(c.Message); err != nil {
		return err
	}
	w.bytes(1, c.id)
	w.text(1, c.Message.Id)
	return nil
}
