package codec

import "testing"

func TestBuffers(t *testing.T) {
	b := newBuffers(2<<10, 4<<10)
	for size, want := range map[int]int{0: 2 << 10, 1: 2 << 10, 2 << 10: 2 << 10, 2<<10 + 1: 4 << 10, 4<<10 + 1: 4<<10 + 1} {
		got := b.Get(size)
		if len(*got) != size || cap(*got) != want {
			t.Errorf("for %d bytes: %d of %d, want of %d", size, len(*got), cap(*got), want)
		}
		b.Put(got)
	}
	odd := make([]byte, 3<<10)
	b.Put(&odd) // nobody would get as much as he asks for
	for range 8 {
		if got := b.Get(4 << 10); cap(*got) != 4<<10 {
			t.Fatalf("it gave an array of %d bytes", cap(*got))
		}
	}
}
