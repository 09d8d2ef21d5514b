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
// nothing uses. How much less it grows is a matter of how fast garbage comes: where that is
// slow, collections are rare however little the heap grows.
const (
	// garbage is how many bytes of it the heap of a busy process may have before it is
	// collected, above the floor, until half of the heap is more.
	garbage = 48 << 20
	// busyPercent is the least that the heap of a busy process grows between two collections.
	busyPercent = 50
	// calmPercent is the least that any heap grows, unless heapFloor is more.
	calmPercent = 25
	// calm is how long a process goes without a collection, as long as its garbage is
	// within these bounds.
	calm = 2 * time.Second
	// hurried is how long a process with a small heap goes without one, as long as the
	// bytes in garbage are enough: a data channel makes some hundred megabytes a second.
	hurried = 100 * time.Millisecond
)

// goLeast is how large Go has a heap grow at least, in bytes, with a GOGC of 100; with any
// other in proportion.
const goLeast = 4 << 20

// firstPercent has the first collection come when the heap is as large as the floor.
const firstPercent = heapFloor / goLeast * 100

// heap is what a collection has found, in bytes.
type heap struct {
	live      uint64
	scanned   uint64 // of stacks and globals, by which Go has the heap grow too
	allocated uint64 // since the process began
}

// growth is by how many bytes a heap of so many, the floor among them, grows before it is
// collected again, where so many are allocated in calm.
func growth(live, allocated uint64) uint64 {
	most := live
	if live > garbage {
		most = max(garbage, live*busyPercent/100)
	}
	least := min(max(heapFloor, live*calmPercent/100), most)
	most = max(most, min(garbage, allocated/uint64(calm/hurried)))
	return min(max(allocated, least), most)
}

// heapPercent is what GOGC is to be for what a collection has found, and what is allocated
// in calm. No collection comes before the heap has as much per cent of goLeast, either.
func heapPercent(h heap, allocated uint64) int {
	from := max(h.live+h.scanned, 1)
	grown := growth(from+heapFloor, allocated)
	return int(min(grown*100/from, (h.live+grown)*100/goLeast)) // some thousands at most
}

// FitHeap has the garbage collector fit itself to the heap after each collection, unless
// GOGC says what is wanted.
func FitHeap() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(firstPercent)
	f := &fitting{percent: firstPercent, at: time.Now(), found: found, set: func(percent int) { debug.SetGCPercent(percent) }}
	f.arm()
}

// fitting is the state of FitHeap, for its cleanups, one after another.
type fitting struct {
	mu        sync.Mutex
	percent   int
	at        time.Time // of the last look
	allocated uint64    // until then
	found     func() heap
	set       func(percent int)
}

// arm has the next collection call look: it finds an object that nobody has.
func (f *fitting) arm() {
	runtime.AddCleanup(&struct{ _ [32]byte }{}, func(f *fitting) { f.look() }, f)
}

// look sets what has changed by a sixteenth and more: to set it stops the program for
// some microseconds.
func (f *fitting) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, now := f.found(), time.Now()
	allocated := float64(h.allocated-f.allocated) * float64(calm) / float64(max(now.Sub(f.at), 1))
	f.at, f.allocated = now, h.allocated
	want := heapPercent(h, uint64(min(allocated, 1<<50)))
	if off := max(want-f.percent, f.percent-want); off > f.percent/16 {
		f.percent = want
		f.set(want)
	}
	f.arm()
}

// found is what the last collection has.
func found() heap {
	sample := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(sample)
	at := func(i int) uint64 { return sample[i].Value.Uint64() }
	return heap{live: at(0), scanned: at(1) + at(2), allocated: at(3)}
}
