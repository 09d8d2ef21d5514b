package message

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// sameID gives one text for all texts of an id. Whoever answers has read the id and writes it
// anew, with the escapes and the form of a number that its own language has: "a/b" comes back
// as "a\/b", 1.0 as 1. Most ids are that text already.
func sameID(id string) string {
	switch {
	case id == "":
		return ""
	case id[0] == '"':
		return unescaped(id)
	case strings.ContainsAny(id, ".eE") || id == "-0":
		return plainNumber(id)
	}
	return id // a whole number has one text
}

// unescaped is a string between its quotes without escapes. It is no JSON then, but no other
// string's text.
func unescaped(id string) string {
	if strings.IndexByte(id, '\\') < 0 {
		return id
	}
	var plain string
	if json.Unmarshal([]byte(id), &plain) != nil {
		return id
	}
	return `"` + plain + `"`
}

// mostPlain is from where JavaScript writes a number with an exponent.
const mostPlain = 1e21

// plainNumber is a number as JavaScript writes it, or as it is where that has no such number.
func plainNumber(id string) string {
	f, err := strconv.ParseFloat(id, 64)
	switch {
	case err != nil:
		return id
	case f == 0:
		return "0"
	case math.Abs(f) < mostPlain:
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}
