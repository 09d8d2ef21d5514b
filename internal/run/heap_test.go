package run

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestHeapPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 100, HeapFloor: 100, 48 << 20: 100, 64 << 20: 75, 96 << 20: 50, 1 << 40: 50} {
		if got := heapPercent(live); got != want {
			t.Errorf("%d bytes: %d %%, want %d", live, got, want)
		}
	}
}

// Each collection looks at the heap, and what has changed is set.
func TestFitting(t *testing.T) {
	var live atomic.Uint64
	set := make(chan int)
	f := &fitting{percent: 100, live: live.Load, set: func(percent int) {
		select {
		case set <- percent:
		case <-t.Context().Done():
		}
	}}
	f.arm()
	for _, one := range []struct {
		live uint64
		want int
	}{{1 << 30, leastPercent}, {64 << 20, 75}, {1 << 20, 100}} {
		live.Store(one.live)
		if got := collectUntil(set); got != one.want {
			t.Errorf("%d bytes: %d %%, want %d", one.live, got, one.want)
		}
	}
}

// collectUntil collects until something is set: what looks at a collection may not be
// ready for the next one at once.
func collectUntil(set <-chan int) int {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		runtime.GC()
		select {
		case percent := <-set:
			return percent
		case <-again.C:
		}
	}
}
