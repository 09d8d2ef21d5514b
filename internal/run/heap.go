package run

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// heapFloor is what the heap of a process of peerbus is taken to have besides what it
// has, in bytes. One of a few megabytes that passes on hundreds of thousands of messages
// a second would be collected a hundred times a second otherwise, for a third of its time.
const heapFloor = 16 << 20

// A heap that is large need not double: of a process with thousands of sessions or
// connections, most is what they keep, and as much again for garbage would be memory that
// nothing uses.
const (
	// garbage is how many bytes of it the heap may have before it is collected, above the
	// floor, until half of the heap is more.
	garbage = 48 << 20
	// leastPercent is the least that the heap grows between two collections.
	leastPercent = 50
)

// A heap that is collected again within hurried has all the garbage it may have from then
// on, until it is collected no more often than once in calm: a data channel makes some
// hundred megabytes a second of it.
const (
	hurried = 100 * time.Millisecond
	calm    = time.Second
)

// goLeast is how large Go has a heap grow at least, in bytes, with a GOGC of 100; with any
// other in proportion.
const goLeast = 4 << 20

// firstPercent has the first collection come when the heap is as large as the floor.
const firstPercent = heapFloor / goLeast * 100

// growth is by how many bytes a heap of so many, the floor among them, grows before it is
// collected again.
func growth(live uint64) uint64 {
	if live <= garbage {
		return live
	}
	return max(garbage, live*leastPercent/100)
}

// heapPercent is what GOGC is to be for what a collection has found: live bytes, and
// scanned ones of stacks and globals, by which Go has the heap grow too. No
// collection comes before the heap has as much per cent of goLeast, either.
func heapPercent(live, scanned uint64, busy bool) int {
	from := max(live+scanned, 1)
	grown := growth(from + heapFloor)
	if busy {
		grown = max(grown, garbage)
	}
	return int(min(grown*100/from, (live+grown)*100/goLeast)) //nolint:gosec // some thousands at most
}

// FitHeap has the garbage collector fit itself to the heap after each collection, unless
// GOGC says what is wanted.
func FitHeap() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(firstPercent)
	f := &fitting{percent: firstPercent, last: time.Now(), now: time.Now, found: found, set: func(percent int) { debug.SetGCPercent(percent) }}
	f.arm()
}

// fitting is the state of FitHeap, for its cleanups, one after another.
type fitting struct {
	mu      sync.Mutex
	percent int
	last    time.Time // of a collection
	busy    bool      // the heap is collected often
	now     func() time.Time
	found   func() (live, scanned uint64)
	set     func(percent int)
}

// arm has the next collection call look: it finds an object that nobody has.
func (f *fitting) arm() {
	runtime.AddCleanup(&struct{ _ [32]byte }{}, func(f *fitting) { f.look() }, f)
}

// look has the percentage follow what a collection has found. It sets what has changed by a
// sixteenth and more: to set it stops the program for some microseconds.
func (f *fitting) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	since := now.Sub(f.last)
	f.last, f.busy = now, since < hurried || f.busy && since < calm
	live, scanned := f.found()
	want := heapPercent(live, scanned, f.busy)
	if off := max(want-f.percent, f.percent-want); off > f.percent/16 {
		f.percent = want
		f.set(want)
	}
	f.arm()
}

// found is what the last collection has, in bytes.
func found() (live, scanned uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64(), sample[1].Value.Uint64() + sample[2].Value.Uint64()
}
