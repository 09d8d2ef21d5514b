package client

import (
	"encoding/base64"

	"github.com/google/uuid"
)

// ids are those of messages that have none: no other client makes the same.
type ids struct {
	text   []byte // JSON text of the one made last
	number int    // where its number begins
}

func newIDs() ids {
	client := uuid.New()
	text := base64.RawURLEncoding.AppendEncode(append(make([]byte, 0, 64), '"'), client[:])
	text = append(text, '.')
	return ids{text, len(text)}
}

// of gives the JSON text of the one with a number, until the next one is made.
func (i *ids) of(number uint64) []byte {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	text := i.text[:i.number]
	for ; number > 0; number >>= 5 { // the last digit is the first, which is as good
		text = append(text, digits[number&31])
	}
	i.text = append(text, '"')
	return i.text
}
