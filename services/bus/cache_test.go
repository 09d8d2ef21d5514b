package bus

import (
	"testing"

	"google.golang.org/grpc"
)

// noRegistry is for a bus whose Run is not called.
type noRegistry struct{ grpc.ClientConnInterface }

func TestTheCacheKeepsWhatIsUsed(t *testing.T) {
	c := newCache[int, string](4)
	for i := range 4 {
		c.put(i, "v")
	}
	for i := 4; i < 100; i++ {
		if _, ok := c.get(2); !ok {
			t.Fatalf("2 was dropped with %d", i)
		}
		c.put(i, "v")
		if c.len() != 4 {
			t.Fatalf("%d values", c.len())
		}
	}
	c.put(2, "w")
	if v, _ := c.get(2); v != "w" {
		t.Errorf("2 is %q", v)
	}
	c.deleteFunc(func(k int) bool { return k != 2 })
	if c.len() != 1 || len(c.ring) != 1 {
		t.Errorf("%d values, %d in the ring", c.len(), len(c.ring))
	}
	c.delete(2)
	c.delete(2)
	if _, ok := c.get(2); ok || len(c.ring) != 0 {
		t.Error("2 is still there")
	}
	c.put(1, "x")
}

func TestTheFifoKeepsOrder(t *testing.T) {
	var f fifo[int]
	in, out := 0, 0
	for round := range 200 {
		for range round % 17 {
			f.push(in)
			in++
		}
		for range round % 13 {
			if f.len() == 0 {
				break
			}
			if *f.first() != out || f.pop() != out {
				t.Fatalf("not %d", out)
			}
			out++
		}
		if f.len() != in-out {
			t.Fatalf("%d in it, want %d", f.len(), in-out)
		}
	}
	if rest := f.drain(); len(rest) != in-out || rest[0] != out || f.len() != 0 {
		t.Errorf("drained %d", len(rest))
	}
	for i := range 10 * keep {
		f.push(i)
	}
	for range 10 * keep {
		f.pop()
	}
	if f.items != nil {
		t.Error("an idle fifo keeps the memory of a burst")
	}
}
