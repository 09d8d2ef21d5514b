package message

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzValidJSON(f *testing.F) {
	for _, text := range []string{
		`{}`, `[]`, ` {"a" : [1, -0.5e+10, true, false, null, "\u00e4\n\"" ] } `, `"ü"`, "\"\xff\"", `"\ud800"`, `01`, `-`, `1.`, `1e`, `{"a":}`,
		`[1,]`, `{,}`, `{"a" 1}`, "\"\x01\"", `"`, `tru`, `{}{}`, "", "\x00", `{"a":1}` + "\x00", `"\u12"`, `"\x"`,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		strings.Repeat(`{"a":`, 3) + "0" + strings.Repeat("}", 3),
		`"12345678 !#[]~ 12345678"`, `"1234567\""`, `{"longer than eight":"more than thirty-two bytes in a single piece", "b" : -0.0E-7 }  `, "\"1234567\x7f\"", "\"1234567\x1f\"",
		strings.Repeat(`{"a":`, maxDepth) + "0" + strings.Repeat("}", maxDepth), strings.Repeat(`{"a":`, maxDepth+1) + "0" + strings.Repeat("}", maxDepth+1),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := validJSON(b), json.Valid(b) && utf8.Valid(b); got != want {
			t.Errorf("%q: %v, want %v", b, got, want)
		}
		valid, first := json.Valid(b) && utf8.Valid(b), strings.TrimLeft(string(b), " \n\t\r")
		if got, want := isObject(b), valid && first[0] == '{'; got != want {
			t.Errorf("%q: an object: %v, want %v", b, got, want)
		}
		if got, want := isID(b), valid && (b[0] == '"' || b[0] == '-' || isDigit(b[0])); got != want {
			t.Errorf("%q: an id: %v, want %v", b, got, want)
		}
	})
}

func BenchmarkValidJSON(b *testing.B) {
	text := []byte(`{"value":"` + strings.Repeat("x", 40) + `","n":[1,2,3]}`)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			if !validJSON(text) {
				b.Fatal("it is valid")
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			if !json.Valid(text) || !utf8.Valid(text) {
				b.Fatal("it is valid")
			}
		}
	})
}

func TestStringID(t *testing.T) {
	for _, s := range []string{"", "a-1", `a"b`, `a\b`, "<a>&", "ä", "\x7f", "\n", "\xff"} {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := StringID(s); got != string(want) {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

func TestPlainID(t *testing.T) {
	for text, want := range map[string]string{
		`"a-1"`: "a-1", `"a\"b\u00e4\n"`: "a\"bä\n", `"7"`: "7", "7": "7", "-1e9": "-1e9", "12345678901234567890": "12345678901234567890",
		"": "", `"`: `"`, `"a`: `"a`,
	} {
		if got := PlainID(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// BenchmarkContent checks id and body of a short message, as a bus does.
func BenchmarkContent(b *testing.B) {
	id := []byte(`"7f3e4f12a1b2c3d4e5f60718-1z9"`)
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		body := []byte(`{"value":"` + strings.Repeat("x", size-12) + `"}`)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			for b.Loop() {
				if !ValidContent(id, body) {
					b.Fatal("it is valid")
				}
			}
		})
	}
}
