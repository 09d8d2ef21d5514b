package codec

import (
	"testing"

	"google.golang.org/grpc/mem"
)

// A message with a field twice is encoded anew: bytes that go on have one `via` at most.
func TestAFieldThatIsTwiceDoesNotGoOn(t *testing.T) {
	plain := []byte{0x0a, 1, '1', 0x12, 1, 'r', 0x1a, 1, 'a', 0x22, 1, 'b'}
	for name, c := range map[string]struct {
		message []byte
		goesOn  bool
	}{
		"once":  {append(plain[:len(plain):len(plain)], 0x2a, 1, 'x'), true},
		"twice": {append(plain[:len(plain):len(plain)], 0x2a, 1, 'x', 0x2a, 0), false},
	} {
		frame := append([]byte{0x0a, byte(len(c.message))}, c.message...)
		var m Messages
		if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(frame)}, &m); err != nil {
			t.Fatal(err)
		}
		if (m[0].Encoded != nil) != c.goesOn {
			t.Errorf("%s: the bytes are %x", name, m[0].Encoded)
		}
	}
}
