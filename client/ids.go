package client

import (
	"strconv"
	"sync/atomic"

	"github.com/google/uuid"
)

// ids are those of messages that have none: no other client makes the same.
type ids struct {
	client string
	last   atomic.Uint64
}

// idSize is enough for any of them, in bytes: quotes, a UUID, a dash and a number.
const idSize = 64

func newIDs() *ids { return &ids{client: uuid.NewString() + "-"} }

// next appends the JSON text of one to b.
func (i *ids) next(b []byte) []byte {
	b = append(append(b, '"'), i.client...)
	return append(strconv.AppendUint(b, i.last.Add(1), 32), '"')
}
