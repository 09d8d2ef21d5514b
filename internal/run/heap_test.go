package run

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"
)

// A heap of a busy process grows by as much as it may, and a large one by half.
func TestHeapPercent(t *testing.T) {
	const mega = 1 << 20
	for _, tc := range []struct {
		live, scanned uint64
		want          int
	}{
		{0, mega, 1200}, {7 * mega, mega, 600}, {16 * mega, 0, 300}, {32 * mega, 0, 150}, {48 * mega, 0, 100},
		{80 * mega, 0, 60}, {160 * mega, 0, 55}, {1 << 40, 0, 50},
	} {
		if got := heapPercent(heap{live: tc.live, scanned: tc.scanned}, busy); got != tc.want {
			t.Errorf("%d and %d bytes: %d %%, want %d", tc.live, tc.scanned, got, tc.want)
		}
	}
}

// busy is more than any process allocates.
const busy = 1 << 50

// A heap grows by what is allocated in a while, but not by less than the floor, nor less
// than a share of what it has.
func TestGrowthByPace(t *testing.T) {
	const mega = 1 << 20
	for _, tc := range []struct{ live, allocated, want uint64 }{
		{17 * mega, 0, 16 * mega}, {17 * mega, 200 * mega, 17 * mega}, {17 * mega, 600 * mega, 30 * mega}, {17 * mega, busy, 48 * mega},
		{100 * mega, 0, 25 * mega}, {100 * mega, 30 * mega, 30 * mega},
		{100 * mega, busy, 50 * mega}, {400 * mega, 20 * mega, 100 * mega}, {400 * mega, 150 * mega, 150 * mega},
	} {
		if got := growth(tc.live, tc.allocated); got != tc.want {
			t.Errorf("%d bytes, %d in a while: %d, want %d", tc.live, tc.allocated, got, tc.want)
		}
	}
}

// Go's own rule for the next collection leaves a small heap no more than the floor, too.
func TestHeapGoal(t *testing.T) {
	for _, live := range []uint64{0, 1 << 10, 1 << 20, 2 << 20, 3 << 20, 5 << 20, 16 << 20, 100 << 20} {
		const scanned = 500 << 10
		percent := heapPercent(heap{live: live, scanned: scanned}, busy)
		goal := max(live+(live+scanned)*uint64(percent)/100, goLeast*uint64(percent)/100)
		want := live + growth(live+scanned+heapFloor, busy)
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
	var live, allocated atomic.Uint64
	set := make(chan int)
	found := func() heap { return heap{live: live.Load(), allocated: allocated.Add(busy)} }
	f := &fitting{percent: firstPercent, at: time.Now(), found: found, set: func(percent int) {
		select {
		case set <- percent:
		case <-t.Context().Done():
		}
	}}
	f.arm()
	for _, one := range []struct {
		live uint64
		want int
	}{{1 << 40, busyPercent}, {80 << 20, 60}, {16 << 20, 300}} {
		live.Store(one.live)
		if got := collectUntil(set); got != one.want {
			t.Errorf("%d bytes: %d %%, want %d", one.live, got, one.want)
		}
	}
}

// What has hardly changed is left as it is.
func TestFittingIsNotHasty(t *testing.T) {
	var live, allocated uint64
	sets := 0
	found := func() heap {
		allocated += busy
		return heap{live: live, allocated: allocated}
	}
	f := &fitting{percent: 300, at: time.Now(), found: found, set: func(int) { sets++ }}
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
