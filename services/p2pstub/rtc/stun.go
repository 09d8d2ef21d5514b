package rtc

import (
	"bytes"
	"encoding/binary"
)

// What the mux must know of STUN (RFC 8489, sections 5 and 14.3).
const (
	stunHeader      = 20
	stunCookie      = 0x2112A442
	bindingRequest  = 0x0001
	usernameAttr    = 0x0006
	useCandidate    = 0x0025 // ICE (RFC 8445, section 16.1)
	transactionSize = 12
)

type transaction [transactionSize]byte

// isSTUN tells a STUN message from DTLS (RFC 7983).
func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == stunCookie
}

// isDTLS tells DTLS from all else (RFC 7983).
func isDTLS(b []byte) bool { return len(b) > 0 && b[0] >= 20 && b[0] <= 63 }

// isRequest is for a message that isSTUN.
func isRequest(b []byte) bool { return binary.BigEndian.Uint16(b) == bindingRequest }

func transactionOf(b []byte) transaction { return transaction(b[8:stunHeader]) }

// usernameOf gives the receiver's part of a request's user name, `<ours>:<theirs>`.
func usernameOf(b []byte) (string, bool) {
	name, _ := attributeOf(b, usernameAttr)
	ours, _, ok := bytes.Cut(name, []byte(":"))
	return string(ours), ok
}

// nominates tells whether a request makes the path that it goes by the one to use.
func nominates(b []byte) bool {
	_, ok := attributeOf(b, useCandidate)
	return ok
}

// attributeOf gives the first attribute of a kind, of a message that isSTUN.
func attributeOf(b []byte, want uint16) ([]byte, bool) {
	for b = b[stunHeader:]; len(b) >= 4; {
		kind, length := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; length > len(b) {
			return nil, false
		}
		if kind == want {
			return b[:length], true
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	return nil, false
}
