package client

import (
	"strconv"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/peerbus/peerbus/protocol/message"
)

// ids are those of messages that have none: no other client makes the same.
type ids struct {
	client string
	last   atomic.Uint64
}

func newIDs() *ids { return &ids{client: uuid.NewString() + "-"} }

func (i *ids) next() string {
	return message.StringID(i.client + strconv.FormatUint(i.last.Add(1), 36))
}
