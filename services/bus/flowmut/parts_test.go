package flow

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set is what a sorted list of numbers is.
func TestSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bound = 64*64*2 + 70
		var s set
		s.grow(bound)
		var want []int
		number := rapid.OneOf(rapid.IntRange(0, bound-1), rapid.SampledFrom([]int{0, 63, 64, 4095, 4096, 8191, bound - 1}))
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				i := number.Draw(t, "i")
				s.add(i)
				if at, found := slices.BinarySearch(want, i); !found {
					want = slices.Insert(want, at, i)
				}
			},
			"remove": func(t *rapid.T) {
				i := number.Draw(t, "i")
				s.remove(i)
				if at, found := slices.BinarySearch(want, i); found {
					want = slices.Delete(want, at, at+1)
				}
			},
			"": func(t *rapid.T) {
				i := number.Draw(t, "i")
				at, found := slices.BinarySearch(want, i)
				next, previous := -1, -1
				if at < len(want) {
					next = want[at]
				}
				if found {
					previous = i
				} else if at > 0 {
					previous = want[at-1]
				}
				if s.has(i) != found || s.next(i) != next || s.previous(i) != previous || s.count != len(want) {
					t.Fatalf("at %d: has %t, next %d, previous %d; want %v", i, s.has(i), s.next(i), s.previous(i), want)
				}
			},
		})
	})
}

// A line is what a map is, with an order; and it does not grow with what has
// passed.
func TestLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := line[uint64]{marks: make([]set, 1)}
		sequence, marked := uint64(0), map[uint64]bool{}
		var want []uint64
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "how many") {
					sequence += uint64(rapid.IntRange(1, 3).Draw(t, "step"))
					pos := l.push(sequence, sequence*10)
					want = append(want, sequence)
					if sequence%5 == 0 {
						l.marks[0].add(pos)
						marked[sequence] = true
					}
				}
			},
			"remove": func(t *rapid.T) {
				for range min(len(want), rapid.IntRange(1, 100).Draw(t, "how many")) {
					i := rapid.IntRange(0, len(want)-1).Draw(t, "which")
					l.remove(l.find(want[i]))
					delete(marked, want[i])
					want = slices.Delete(want, i, i+1)
				}
			},
			"": func(t *rapid.T) {
				checkLine(t, &l, want, marked, uint64(rapid.IntRange(0, int(sequence)+2).Draw(t, "looked for")))
			},
		})
	})
}

func checkLine(t *rapid.T, l *line[uint64], want []uint64, marked map[uint64]bool, sequence uint64) {
	at, found := slices.BinarySearch(want, sequence)
	if pos := l.find(sequence); found != (pos >= 0) || found && l.slots[pos].item != sequence*10 {
		t.Fatalf("find %d: %d, want %t", sequence, pos, found)
	}
	if pos := l.from(sequence); (at < len(want)) != (pos >= 0) || pos >= 0 && l.slots[pos].sequence != want[at] {
		t.Fatalf("from %d: %d, want %d", sequence, pos, at)
	}
	var got []uint64
	for pos := l.kept.next(0); pos >= 0; pos = l.kept.next(pos + 1) {
		got = append(got, l.slots[pos].sequence)
		if l.marks[0].has(pos) != marked[l.slots[pos].sequence] {
			t.Fatalf("mark of %d", l.slots[pos].sequence)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

// A million messages that pass one which is stuck leave nothing behind.
func TestStuckDoesNotGrow(t *testing.T) {
	l := line[int]{marks: make([]set, 1)}
	l.push(1, 0)
	for sequence := uint64(2); sequence < 1_000_000; sequence++ {
		l.remove(l.push(sequence, 0))
	}
	if n := cap(l.slots); n > 64 {
		t.Errorf("%d slots for one that is kept", n)
	}
}
