package gateway

import (
	"io"
	"sync/atomic"

	"github.com/peerbus/peerbus/internal/fault"
)

// freeBytes of a body are not counted: what is small gets in also when others hold all
// that there is.
const freeBytes = 64 << 10

// held bounds what all bodies together have in memory, in bytes.
type held struct {
	most int64
	now  atomic.Int64
}

// heldBody counts what is read of one body, until it is released. Its methods are
// called by one goroutine.
type heldBody struct {
	io.ReadCloser
	all  *held
	read int64
}

// hold counts a body. release is called when nothing of it is needed any more.
func (h *held) hold(body io.ReadCloser) (counted *heldBody, release func()) {
	b := &heldBody{ReadCloser: body, all: h}
	return b, func() { h.now.Add(-b.counted()) }
}

func (b *heldBody) counted() int64 { return max(0, b.read-freeBytes) }

// Read is io.Reader's.
func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	before := b.counted()
	b.read += int64(n)
	if b.all.now.Add(b.counted()-before) > b.all.most && b.counted() > 0 {
		return n, fault.New(fault.TooMany, "the bodies of all requests have more than %d bytes, which is the bound", b.all.most)
	}
	return n, err
}
