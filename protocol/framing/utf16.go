package framing

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"unicode/utf16"

	"github.com/peerbus/peerbus/internal/fault"
)

// Characters of a transfer's name, as UTF-16 units.
const (
	uuidUnits    = 12 // what we send: 24 bytes
	minUUIDUnits = 8
	maxUUIDUnits = 13
)

func utf16LE(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func fromUTF16LE(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(b[i:]))
	}
	return string(utf16.Decode(units))
}

func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// jsonUnits gives the UTF-16 units of a JSON string, two bytes each. Unlike
// encoding/json it keeps the half of a character that stands alone.
func jsonUnits(quoted json.RawMessage) ([]byte, error) {
	var units []byte
	rest := quoted[1 : len(quoted)-1]
	for len(rest) > 0 {
		n := 0
		for n < len(rest) && !isUnitEscape(rest[n:]) {
			if rest[n] == '\\' {
				n++ // an escape of one character
			}
			n++
		}
		var text string
		if err := json.Unmarshal(append(append([]byte{'"'}, rest[:n]...), '"'), &text); err != nil {
			return nil, fault.New(fault.BadRequest, "no JSON string")
		}
		units = append(units, utf16LE(text)...)
		if rest = rest[n:]; len(rest) > 0 {
			u, err := strconv.ParseUint(string(rest[2:6]), 16, 16)
			if err != nil {
				return nil, fault.New(fault.BadRequest, "no JSON string")
			}
			units = binary.LittleEndian.AppendUint16(units, uint16(u))
			rest = rest[6:]
		}
	}
	return units, nil
}

// isUnitEscape is for text that stands at no other escape's second character.
func isUnitEscape(b []byte) bool { return len(b) >= 6 && b[0] == '\\' && b[1] == 'u' }
