package client

import (
	"strconv"

	"github.com/google/uuid"
)

// ids are those of messages that have none: no other client makes the same.
type ids struct {
	text   []byte // JSON text of the one made last
	number int    // where its number begins
}

func newIDs() ids {
	client := `"` + uuid.NewString() + "-"
	return ids{append(make([]byte, 0, 64), client...), len(client)}
}

// of gives the JSON text of the one with a number, until the next one is made.
func (i *ids) of(number uint64) []byte {
	i.text = append(strconv.AppendUint(i.text[:i.number], number, 32), '"')
	return i.text
}
