package beside

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// Units of the figures that are reported: of ours, and of the map.
const (
	oursTime, mapTime     = "ours-ns/address", "map-ns/address"
	oursMemory, mapMemory = "ours-B/address", "map-B/address"
)

// chunk is how many addresses one side is asked for before the other one's turn comes.
const chunk = 1 << 10

// Addresses of hyperties: a million, or with -short ten thousand. Each is a string of its
// own, as one that has come over the wire is.
func Addresses() []string {
	n := 1_000_000
	if testing.Short() {
		n = 10_000
	}
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("hyperty://b.example/b53f0d%08x-7a0e-4d3f", i)
	}
	return all
}

// Times reports how long each side takes for an address, both asked in turns for
// addresses in no order, and never for those that the other one has just had.
func Times(b *testing.B, addresses []string, ours, plain func([]string)) {
	keys := shuffled(addresses)
	var took [2][]time.Duration
	asked, next := 0, 0
	b.ResetTimer()
	for turn := 0; asked < max(b.N/2, 1); turn++ {
		for _, side := range []int{turn % 2, 1 - turn%2} {
			if next+chunk > len(keys) {
				next = 0
			}
			began := time.Now()
			if part := keys[next : next+chunk]; side == 0 {
				ours(part)
			} else {
				plain(part)
			}
			took[side] = append(took[side], time.Since(began))
			next += chunk
		}
		asked += chunk
	}
	b.ReportMetric(median(took[0])/chunk, oursTime)
	b.ReportMetric(median(took[1])/chunk, mapTime)
}

// median of chunks: what else runs on the machine disturbs some of them.
func median(chunks []time.Duration) float64 {
	slices.Sort(chunks)
	return float64(chunks[len(chunks)/2])
}

func shuffled(addresses []string) []string {
	keys := append([]string(nil), addresses...)
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

// Memory reports how much each side takes on the heap for an address, its text
// included. Each makes all of its side, and gives what it is in; once is enough, whatever
// b.N is.
func Memory(b *testing.B, ours, plain func(addresses []string) any) {
	b.ReportMetric(perAddress(ours), oursMemory)
	b.ReportMetric(perAddress(plain), mapMemory)
}

func perAddress(fill func([]string) any) float64 {
	before := live()
	addresses := Addresses()
	n := len(addresses)
	kept := fill(addresses)
	addresses = nil
	after := live()
	runtime.KeepAlive(kept)
	return (float64(after) - float64(before)) / float64(n)
}

// live is the heap after a collection.
func live() uint64 {
	runtime.GC()
	runtime.GC() // what the first one has found is freed now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
