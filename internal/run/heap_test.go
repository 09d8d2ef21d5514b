package run

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"
)

// A heap is collected when it has doubled, the floor counted, and a large one earlier.
func TestHeapPercent(t *testing.T) {
	const mega = 1 << 20
	for _, tc := range []struct {
		live, scanned uint64
		want, busy    int
	}{
		{0, mega, 425, 1200}, {7 * mega, mega, 300, 600}, {16 * mega, 0, 200, 300}, {32 * mega, 0, 150, 150}, {48 * mega, 0, 100, 100},
		{80 * mega, 0, 60, 60}, {160 * mega, 0, 55, 55}, {1 << 40, 0, 50, 50},
	} {
		for busy, want := range map[bool]int{false: tc.want, true: tc.busy} {
			if got := heapPercent(tc.live, tc.scanned, busy); got != want {
				t.Errorf("%d and %d bytes, busy %t: %d %%, want %d", tc.live, tc.scanned, busy, got, want)
			}
		}
	}
}

// Go's own rule for the next collection leaves a small heap no more than the floor, too.
func TestHeapGoal(t *testing.T) {
	for _, live := range []uint64{0, 1 << 10, 1 << 20, 2 << 20, 3 << 20, 5 << 20, 16 << 20, 100 << 20} {
		const scanned = 500 << 10
		percent := heapPercent(live, scanned, false)
		goal := max(live+(live+scanned)*uint64(percent)/100, goLeast*uint64(percent)/100)
		want := live + growth(live+scanned+heapFloor)
		if goal > want || goal < want*95/100 {
			t.Errorf("%d bytes: the next collection is at %d, want %d", live, goal, want)
		}
	}
}

// The floor is what this version of Go takes it for.
func TestGoLeast(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	runtime.GC()
	debug.SetGCPercent(100_000)
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	if metrics.Read(goal); goal[0].Value.Uint64() < goLeast*1000 {
		t.Errorf("the next collection is at %d bytes", goal[0].Value.Uint64())
	}
}

// Each collection looks at the heap, and what has changed is set.
func TestFitting(t *testing.T) {
	var live atomic.Uint64
	set := make(chan int)
	f := &fitting{percent: firstPercent, now: atEase(), found: func() (uint64, uint64) { return live.Load(), 0 }, set: func(percent int) {
		select {
		case set <- percent:
		case <-t.Context().Done():
		}
	}}
	f.arm()
	for _, one := range []struct {
		live uint64
		want int
	}{{1 << 40, leastPercent}, {80 << 20, 60}, {16 << 20, 200}} {
		live.Store(one.live)
		if got := collectUntil(set); got != one.want {
			t.Errorf("%d bytes: %d %%, want %d", one.live, got, one.want)
		}
	}
}

// What has hardly changed is left as it is.
func TestFittingIsNotHasty(t *testing.T) {
	var live uint64
	sets := 0
	f := &fitting{percent: 200, now: atEase(), found: func() (uint64, uint64) { return live, 0 }, set: func(int) { sets++ }}
	for _, live = range []uint64{16 << 20, 16<<20 + 1<<18, 16<<20 - 1<<18} {
		f.look()
	}
	if sets != 0 {
		t.Errorf("set %d times", sets)
	}
	live = 20 << 20
	if f.look(); sets != 1 {
		t.Errorf("set %d times", sets)
	}
}

// A heap that is collected in a hurry has more room, until it is collected rarely.
func TestFittingOfABusyHeap(t *testing.T) {
	var now time.Time
	f := &fitting{percent: firstPercent, now: func() time.Time { return now }, found: func() (uint64, uint64) { return 16 << 20, 0 }}
	f.set = func(int) {}
	for i, one := range []struct {
		after time.Duration
		want  int
	}{{time.Hour, 200}, {hurried, 200}, {hurried / 2, 300}, {calm / 2, 300}, {calm, 200}, {calm / 2, 200}} {
		now = now.Add(one.after)
		if f.look(); f.percent != one.want {
			t.Errorf("collection %d: %d %%, want %d", i, f.percent, one.want)
		}
	}
}

// atEase is a clock for a heap that is collected rarely.
func atEase() func() time.Time {
	var now time.Time
	return func() time.Time { now = now.Add(calm); return now }
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
