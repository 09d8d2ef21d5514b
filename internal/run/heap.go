package run

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// HeapFloor is what the heap of a process of peerbus is taken to have at least, in bytes:
// the garbage collector runs when it has doubled. One of a few megabytes that passes on
// hundreds of thousands of messages a second would run it a hundred times a second
// otherwise, for a third of its time. The program makes so many bytes, and nobody writes
// to them, so that they take no memory.
const HeapFloor = 16 << 20

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

// heapPercent is by how much a heap of so many bytes, the floor among them, grows before
// it is collected again: what GOGC says.
func heapPercent(live uint64) int {
	if live <= garbage {
		return 100
	}
	return max(int(garbage*100/live), leastPercent) //nolint:gosec // less than 100
}

// FitHeap has the garbage collector fit itself to the heap after each collection.
func FitHeap() {
	f := &fitting{percent: 100, live: liveHeap, set: func(percent int) { debug.SetGCPercent(percent) }}
	f.arm()
}

// fitting is the state of FitHeap. Only its cleanups use it, one after another.
type fitting struct {
	percent int
	live    func() uint64
	set     func(percent int)
}

// arm has the next collection call look: it finds an object that nobody has.
func (f *fitting) arm() {
	runtime.AddCleanup(&struct{ _ [32]byte }{}, func(f *fitting) { f.look() }, f)
}

func (f *fitting) look() {
	if want := heapPercent(f.live()); want != f.percent {
		f.percent = want
		f.set(want)
	}
	f.arm()
}

// liveHeap is what the last collection has found, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
