package bus

import (
	"math/rand/v2"
	"testing"
)

// Beside a map, with numbers that have gaps, and removed in any order.
func TestOpenPosts(t *testing.T) {
	var o openPosts
	want := map[uint64]*post{}
	last := uint64(1)
	for range 20_000 {
		switch rand.IntN(5) {
		case 0, 1:
			last += 1 + rand.Uint64N(2)*rand.Uint64N(3)
			want[last] = &post{number: last}
			o.add(last, want[last])
		case 2, 3:
			number := last - rand.Uint64N(min(last, 40))
			o.remove(number)
			delete(want, number)
		case 4:
			number := last + 2 - rand.Uint64N(min(last+2, 60))
			if at := o.get(number); (at == nil) != (want[number] == nil) || at != nil && at.post != want[number] {
				t.Fatalf("of %d there is %v, want %v", number, at, want[number])
			}
		}
	}
	for number := range last + 1 {
		o.remove(number)
	}
	if len(o.places) != 0 || o.holes != 0 || o.get(last) != nil {
		t.Errorf("%d places, %d holes", len(o.places), o.holes)
	}
}

// One that stays does not keep the places of those that came after it.
func TestAnOpenPostKeepsNoOthers(t *testing.T) {
	var o openPosts
	first := &post{number: 1}
	o.add(1, first)
	for number := uint64(2); number < 100_000; number++ {
		o.add(number, &post{number: number})
		o.remove(number)
	}
	if cap(o.places) > 16 || o.get(1).post != first {
		t.Errorf("%d places", cap(o.places))
	}
}
