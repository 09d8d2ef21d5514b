package message

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxDepth bounds how deep arrays and objects stand in one another, as encoding/json
// does.
const maxDepth = 10_000

// validJSON tells whether b is one JSON text (RFC 8259) in UTF-8: json.Valid and
// utf8.Valid in one pass, in less than a third of their time. Every message is looked at
// where it comes in.
func validJSON(b []byte) bool { return isEnd(b, skipValue(b, 0, 0)) }

// isEnd tells whether there is nothing but white space behind what was skipped.
func isEnd(b []byte, at int) bool { return at != wrong && skipSpace(b, at) == len(b) }

// The functions that skip something begin at a place of a text, and give the place behind
// it; wrong if it is not there, or not whole.
const wrong = -1

// skipSpace skips white space, of which there may be none.
func skipSpace(b []byte, at int) int {
	for at < len(b) && b[at] <= ' ' && (b[at] == ' ' || b[at] == '\n' || b[at] == '\t' || b[at] == '\r') {
		at++
	}
	return at
}

// skipMark skips white space and a byte.
func skipMark(b []byte, at int, mark byte) int {
	if at = skipSpace(b, at); at == len(b) || b[at] != mark {
		return wrong
	}
	return at + 1
}

// skipValue skips a value that is in so many arrays and objects, and the white space before
// it.
func skipValue(b []byte, at, depth int) int {
	if at = skipSpace(b, at); at == len(b) {
		return wrong
	}
	switch b[at] {
	case '"':
		return skipText(b, at+1)
	case '{':
		return skipObject(b, at+1, depth+1)
	case '[':
		return skipArray(b, at+1, depth+1)
	case 't':
		return skipWord(b, at, "true")
	case 'f':
		return skipWord(b, at, "false")
	case 'n':
		return skipWord(b, at, "null")
	}
	return skipNumber(b, at)
}

// skipObject skips an object behind its bracket.
func skipObject(b []byte, at, depth int) int {
	if depth > maxDepth {
		return wrong
	}
	if end := skipMark(b, at, '}'); end != wrong {
		return end
	}
	for {
		if at = skipMark(b, at, '"'); at == wrong {
			return wrong
		}
		if at = skipText(b, at); at == wrong {
			return wrong
		}
		if at = skipMark(b, at, ':'); at == wrong {
			return wrong
		}
		if at = skipValue(b, at, depth); at == wrong {
			return wrong
		}
		if end := skipMark(b, at, '}'); end != wrong {
			return end
		}
		if at = skipMark(b, at, ','); at == wrong {
			return wrong
		}
	}
}

// skipArray skips an array behind its bracket.
func skipArray(b []byte, at, depth int) int {
	if depth > maxDepth {
		return wrong
	}
	if end := skipMark(b, at, ']'); end != wrong {
		return end
	}
	for {
		if at = skipValue(b, at, depth); at == wrong {
			return wrong
		}
		if end := skipMark(b, at, ']'); end != wrong {
			return end
		}
		if at = skipMark(b, at, ','); at == wrong {
			return wrong
		}
	}
}

func skipWord(b []byte, at int, word string) int {
	if len(b)-at < len(word) || string(b[at:at+len(word)]) != word {
		return wrong
	}
	return at + len(word)
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

// marks finds what is not plain in eight bytes: the highest bit of a byte is set if that is
// a control character, a quote, a backslash or no ASCII. It may be set above such a one too,
// and says nothing there. With the second bit turned over, a quote is what follows the control
// characters, which stay among themselves.
func marks(x uint64) uint64 {
	const ones = 0x0101010101010101
	return x | (x ^ ones*2 - ones*(' '+1)) | (x ^ (ones * '\\') - ones)
}

const marked = 0x8080808080808080

// word gives the first eight bytes.
func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// skipPlain skips bytes that are plain, of which there may be none.
func skipPlain(b []byte, at int) int {
	for len(b)-at >= 8 {
		if m := marks(word(b[at:])) & marked; m != 0 {
			return at + bits.TrailingZeros64(m)/8
		}
		for at += 8; len(b)-at >= 32; at += 32 {
			if w := b[at : at+32 : at+32]; (marks(word(w))|marks(word(w[8:]))|marks(word(w[16:]))|marks(word(w[24:])))&marked != 0 {
				break
			}
		}
	}
	if len(b) >= 8 { // the last word, with zeros in place of what has been looked at
		rest := word(b[len(b)-8:]) >> (8 * (8 - (len(b) - at)))
		return at + bits.TrailingZeros64(marks(rest)&marked)/8
	}
	for at < len(b) && plain[b[at]] {
		at++
	}
	return at
}

// skipText skips a string behind its first quote.
func skipText(b []byte, at int) int {
	for at != wrong {
		if at = skipPlain(b, at); at < len(b) && b[at] == '"' {
			return at + 1
		}
		at = skipOdd(b, at)
	}
	return wrong
}

// skipOdd skips what is in a string and not plain.
func skipOdd(b []byte, at int) int {
	switch {
	case at == len(b) || b[at] < ' ':
		return wrong
	case b[at] == '\\':
		return skipEscape(b, at+1)
	}
	r, size := utf8.DecodeRune(b[at:])
	if r == utf8.RuneError && size == 1 {
		return wrong
	}
	return at + size
}

// skipEscape skips what belongs to a backslash before it.
func skipEscape(b []byte, at int) int {
	if at == len(b) {
		return wrong
	}
	switch b[at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 1
	case 'u':
		if len(b)-at >= 5 && isHexDigit(b[at+1]) && isHexDigit(b[at+2]) && isHexDigit(b[at+3]) && isHexDigit(b[at+4]) {
			return at + 5
		}
	}
	return wrong
}

func isHexDigit(b byte) bool {
	return isDigit(b) || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// skipNumber skips a number.
func skipNumber(b []byte, at int) int {
	if at < len(b) && b[at] == '-' {
		at++
	}
	if at < len(b) && b[at] == '0' {
		at++
	} else if at = skipDigits(b, at); at == wrong {
		return wrong
	}
	if at < len(b) && b[at] == '.' {
		if at = skipDigits(b, at+1); at == wrong {
			return wrong
		}
	}
	if at < len(b) && (b[at] == 'e' || b[at] == 'E') {
		if at++; at < len(b) && (b[at] == '+' || b[at] == '-') {
			at++
		}
		return skipDigits(b, at)
	}
	return at
}

// skipDigits skips one or more.
func skipDigits(b []byte, at int) int {
	from := at
	for at < len(b) && isDigit(b[at]) {
		at++
	}
	if at == from {
		return wrong
	}
	return at
}
