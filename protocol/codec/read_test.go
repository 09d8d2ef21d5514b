package codec

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestIsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.OneOf(
			rapid.SliceOfN(rapid.ByteRange(' ', '~'), 0, 40),
			rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
			rapid.SliceOfN(rapid.Byte(), 0, 40),
		).Draw(t, "bytes")
		if len(b) > 0 && rapid.Bool().Draw(t, "one is wrong") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "which")] = 0xff
		}
		if got, want := isText(b), utf8.Valid(b); got != want {
			t.Fatalf("%q: %v, want %v", b, got, want)
		}
	})
}
