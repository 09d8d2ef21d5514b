package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// printable is text of somebody else's as a part of a line of ours: what would begin
// another line, command the terminal or turn the direction of writing is escaped, as
// JSON escapes it.
func printable(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if !strings.ContainsFunc(text, commands) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if commands(r) {
			_, _ = fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			_, _ = out.WriteRune(r)
		}
	}
	return out.String()
}

// commands tells what a terminal does not show, but does.
func commands(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}

// jsonLine is a JSON text on one line, as whoever wrote it may have used several.
func jsonLine(text []byte) string {
	var line bytes.Buffer
	if json.Compact(&line, text) == nil {
		text = line.Bytes()
	}
	return printable(string(text))
}
