package codec

import (
	"runtime"
	"slices"
	"testing"
	"weak"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// A message with a field twice is encoded anew: bytes that go on have one `via` at most.
func TestAFieldThatIsTwiceDoesNotGoOn(t *testing.T) {
	plain := []byte{0x0a, 1, '1', 0x12, 1, 'r', 0x1a, 1, 'a', 0x22, 1, 'b'}
	// A code of five bytes is encoded anew in ten, which makes up for the five of a via that
	// does not count.
	fewer := []byte{0x72, 12, 0x32, 10, 0x42, 8, 0x08, 1, 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f}
	for name, c := range map[string]struct {
		message []byte
		goesOn  bool
	}{
		"once":                                  {append(plain[:len(plain):len(plain)], 0x2a, 1, 'x'), true},
		"twice":                                 {append(plain[:len(plain):len(plain)], 0x2a, 1, 'x', 0x2a, 0), false},
		"empty":                                 {append(plain[:len(plain):len(plain)], 0x2a, 0), false},
		"twice, in bytes that seem to be right": {append(append(plain[:len(plain):len(plain)], 0x2a, 1, 'x', 0x2a, 0), fewer...), false},
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

// Who keeps one of many short messages does not keep all of them.
func TestFewMessagesShareTheirMemory(t *testing.T) {
	one := []byte{0x0a, 12, 0x0a, 1, '1', 0x12, 1, 'r', 0x1a, 1, 'a', 0x22, 1, 'b'}
	var all Messages
	if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(slices.Repeat(one, 1000))}, &all); err != nil || len(all) != 1000 {
		t.Fatalf("%d messages, %v", len(all), err)
	}
	kept, behind, far := all[0].Head(), weak.Make(&all[1].Encoded[0]), weak.Make(&all[mostTogether].Encoded[0])
	clear(all)
	if runtime.GC(); behind.Value() == nil || far.Value() != nil {
		t.Errorf("the next is there %t, a far one %t", behind.Value() != nil, far.Value() != nil)
	}
	runtime.KeepAlive(kept)
}

// FuzzCarried puts a via in front of all that goes on as it came, and nothing else is
// changed by that.
func FuzzCarried(f *testing.F) {
	plain := []byte{0x0a, 1, '1', 0x12, 1, 'r', 0x1a, 1, 'a', 0x22, 1, 'b'}
	flow := []byte{0x72, 12, 0x32, 10, 0x42, 8, 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x08, 1}
	f.Add(plain)
	f.Add(append(plain[:len(plain):len(plain)], flow...))
	f.Add(append(append(plain[:len(plain):len(plain)], 0x2a, 1, 'x', 0x2a, 0), flow...))
	f.Fuzz(func(t *testing.T, message []byte) {
		frame := append(protowire.AppendVarint([]byte{0x0a}, uint64(len(message))), message...)
		var all Messages
		if (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(frame)}, &all) != nil || all[0].Encoded == nil || all[0].Message().Via != "" {
			return
		}
		c := NewCarried(all[0], "via", nil)
		b, err := c.Append(nil)
		if err != nil || len(b) != c.Size() {
			t.Fatal(len(b), err)
		}
		var got pb.Post
		if err := proto.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		want := proto.CloneOf(all[0].Message())
		want.Via = "via"
		if !proto.Equal(got.Message, want) {
			t.Errorf("%v, want %v", got.Message, want)
		}
	})
}
