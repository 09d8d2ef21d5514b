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
	for b = b[stunHeader:]; len(b) >= 4; {
		kind, length := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; length > len(b) {
			return "", false
		}
		if kind == usernameAttr {
			ours, _, ok := bytes.Cut(b[:length], []byte(":"))
			return string(ours), ok
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	return "", false
}
