package message

import (
	"encoding/binary"
	"unicode/utf8"
)

// maxDepth bounds how deep arrays and objects stand in one another, as encoding/json
// does.
const maxDepth = 10_000

// validJSON tells whether b is one JSON text (RFC 8259) in UTF-8: json.Valid and
// utf8.Valid in one pass, in less than half of their time. Every message is looked at where it
// comes in.
func validJSON(b []byte) bool {
	c := checker{b: b}
	return c.value(0) && c.space() == len(b)
}

// checker goes through a JSON text. at is in it, or beyond its end when it has ended too
// early.
type checker struct {
	b  []byte
	at int
}

// space skips white space, and gives the place behind it.
func (c *checker) space() int {
	for c.at < len(c.b) && (c.b[c.at] == ' ' || c.b[c.at] == '\n' || c.b[c.at] == '\t' || c.b[c.at] == '\r') {
		c.at++
	}
	return c.at
}

// peek gives the next byte; 0 at the end, which is nowhere valid.
func (c *checker) peek() byte {
	if c.at < len(c.b) {
		return c.b[c.at]
	}
	return 0
}

// take skips the next byte, if it is this one.
func (c *checker) take(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.at++
	return true
}

// value skips a value and the white space before it.
func (c *checker) value(depth int) bool {
	c.space()
	switch c.peek() {
	case '"':
		return c.text()
	case '{':
		return depth < maxDepth && c.list('}', func() bool { return c.member(depth + 1) })
	case '[':
		return depth < maxDepth && c.list(']', func() bool { return c.value(depth + 1) })
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	}
	return c.number()
}

// list skips what stands between brackets, with commas between.
func (c *checker) list(end byte, one func() bool) bool {
	c.at++
	if c.space(); c.take(end) {
		return true
	}
	for one() {
		if c.space(); c.take(end) {
			return true
		}
		if !c.take(',') {
			return false
		}
	}
	return false
}

func (c *checker) member(depth int) bool {
	if c.space(); c.peek() != '"' || !c.text() {
		return false
	}
	c.space()
	return c.take(':') && c.value(depth)
}

func (c *checker) word(w string) bool {
	if len(c.b)-c.at < len(w) || string(c.b[c.at:c.at+len(w)]) != w {
		return false
	}
	c.at += len(w)
	return true
}

// plain are the bytes that stand for themselves in a string, and are all of a character.
var plain = func() (is [256]bool) {
	for b := byte(' '); b < utf8.RuneSelf; b++ {
		is[b] = b != '"' && b != '\\'
	}
	return is
}()

// isPlain tells whether a text is its own JSON, but for the quotes.
func isPlain(s string) bool {
	for i := range len(s) {
		if !plain[s[i]] || s[i] == '<' || s[i] == '>' || s[i] == '&' { // these for the sake of HTML
			return false
		}
	}
	return true
}

// allPlain tells whether eight bytes are plain. In each byte of what it puts together the
// highest bit is set if that is a control character, a quote, a backslash or no ASCII.
func allPlain(x uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := x^(ones*'"'), x^(ones*'\\')
	return (x|(x-ones*' ')|(quote-ones)|(backslash-ones))&high == 0
}

// text skips a string. Its first quote is there.
func (c *checker) text() bool {
	b, at := c.b, c.at+1
	for {
		for len(b)-at >= 8 && allPlain(binary.LittleEndian.Uint64(b[at:])) {
			at += 8
		}
		for at < len(b) && plain[b[at]] {
			at++
		}
		switch {
		case at == len(b):
			return false
		case b[at] == '"':
			c.at = at + 1
			return true
		case b[at] == '\\':
			c.at = at
			if !c.escape() {
				return false
			}
			at = c.at
		default: // a control character is none that may stand there
			r, size := utf8.DecodeRune(b[at:])
			if r < ' ' || r == utf8.RuneError && size == 1 {
				return false
			}
			at += size
		}
	}
}

// escape skips a backslash and what belongs to it.
func (c *checker) escape() bool {
	c.at++
	switch c.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.at++
		return true
	case 'u':
		c.at++
		for range 4 {
			if !isHexDigit(c.peek()) {
				return false
			}
			c.at++
		}
		return true
	}
	return false
}

func isHexDigit(b byte) bool {
	return isDigit(b) || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// number skips a number.
func (c *checker) number() bool {
	c.take('-')
	if !c.take('0') && !c.digits() {
		return false
	}
	if c.take('.') && !c.digits() {
		return false
	}
	if !c.take('e') && !c.take('E') {
		return true
	}
	if !c.take('+') {
		c.take('-')
	}
	return c.digits()
}

// digits skips one or more.
func (c *checker) digits() bool {
	from := c.at
	for isDigit(c.peek()) {
		c.at++
	}
	return c.at > from
}
