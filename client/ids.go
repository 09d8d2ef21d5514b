package client

import (
	"crypto/rand"
	"encoding/base64"
)

// ids are those of messages that have none: no other client makes the same. They are short,
// as each process on the way reads, checks and copies them.
type ids struct {
	text []byte // JSON text of the one made last
}

// What an id begins with is drawn for each client: 72 bits, so that any two of a million
// clients have the same once in ten billion times. Even then an answer goes astray only while
// both wait for one from the same address, as the same sender, to posts of the same number.
const (
	idDrawn  = 9                   // bytes
	idBefore = 1 + idDrawn*8/6     // bytes of the JSON text before the number
	idMost   = idBefore + 64/5 + 2 // bytes of all of it
)

func newIDs() ids {
	var client [idDrawn]byte
	_, _ = rand.Read(client[:]) // which does not fail
	return ids{base64.RawURLEncoding.AppendEncode(append(make([]byte, 0, idMost), '"'), client[:])}
}

// of gives the JSON text of the one with a number, until the next one is made.
func (i *ids) of(number uint64) []byte {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	text := i.text[:idBefore]
	for ; number > 0; number >>= 5 { // the last digit is the first, which is as good
		text = append(text, digits[number&31])
	}
	i.text = append(text, '"')
	return i.text
}
