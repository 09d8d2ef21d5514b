package bus

import "slices"

// fifo is a queue that reuses its memory. The zero value is empty. An idle one
// that was long keeps nothing.
type fifo[T any] struct {
	items []T
	head  int
}

// keep is how many places an empty fifo keeps for the next burst.
const keep = 64

func (f *fifo[T]) len() int { return len(f.items) - f.head }

// first gives the next one out; the fifo must not be empty.
func (f *fifo[T]) first() *T { return &f.items[f.head] }

// all are those that stand in it, in turn, until it is changed.
func (f *fifo[T]) all() []T { return f.items[f.head:] }

// fromEnd gives the n-th from the end; there must be as many.
func (f *fifo[T]) fromEnd(n int) *T { return &f.items[len(f.items)-n] }

func (f *fifo[T]) push(v T) {
	if f.head > 0 && len(f.items) == cap(f.items) && f.head >= len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, v)
}

func (f *fifo[T]) pop() T {
	v := f.items[f.head]
	var zero T
	f.items[f.head] = zero
	f.head++
	f.tidy()
	return v
}

// tidy has an empty one begin again.
func (f *fifo[T]) tidy() {
	if f.head == len(f.items) {
		if f.items, f.head = f.items[:0], 0; cap(f.items) > keep {
			f.items = nil
		}
	}
}

// takeIf takes out those of the first n that are meant. What is behind these stays where it
// is.
func (f *fifo[T]) takeIf(n int, meant func(T) bool) (out []T) {
	left := f.head + n
	for i := left - 1; i >= f.head; i-- {
		if v := f.items[i]; meant(v) {
			out = append(out, v)
		} else {
			left--
			f.items[left] = v
		}
	}
	slices.Reverse(out)
	clear(f.items[f.head:left])
	f.head = left
	f.tidy()
	return out
}

// drain empties it.
func (f *fifo[T]) drain() []T {
	all := f.items[f.head:]
	f.items, f.head = nil, 0
	return all
}
