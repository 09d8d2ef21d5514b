package numbered

import (
	"encoding/json"
	"strings"
	"time"
)

// Content is what a message carries.
type Content struct {
	Number int    `json:"number"`
	Sent   int64  `json:"sent"` // nanoseconds since 1970
	Size   int    `json:"size"` // bytes of Pad
	Pad    string `json:"pad"`
}

// body is that of a message.
type body struct {
	Value Content `json:"value"`
}

// New makes the body of a message, filled up with so many bytes.
func New(number, size int, sent time.Time) ([]byte, error) {
	return json.Marshal(body{Content{Number: number, Sent: sent.UnixNano(), Size: size, Pad: pad(number, size)}})
}

// Read gives what New has put into a body, and whether it is undamaged.
func Read(text []byte) (c Content, ok bool) {
	var b body
	if json.Unmarshal(text, &b) != nil || b.Value.Size < 0 || b.Value.Size > len(text) {
		return Content{}, false
	}
	return b.Value, b.Value.Pad == pad(b.Value.Number, b.Value.Size)
}

// pad fills a message up with what its number says.
func pad(number, size int) string { return strings.Repeat(string(rune('a'+(number%26+26)%26)), size) }

// Paths of a message.
const (
	Direct  = "direct"
	Relayed = "relayed"
)

// PathOf tells how a message came: its `via` is the stub that it came in through.
func PathOf(via string) string {
	if strings.Contains(via, "/protostub/") {
		return Relayed
	}
	return Direct
}
