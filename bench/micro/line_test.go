package micro

import (
	"testing"

	"github.com/peerbus/peerbus/bench/internal/round"
)

func TestParseLine(t *testing.T) {
	m := round.Metric{Name: "time", Unit: "ns"}
	for _, tc := range []struct {
		line           string
		ours, baseline float64
		ok, fails      bool
	}{
		{"BenchmarkX-2   \t 1000000\t 2324 ns/op\t 628.1 map-ns/address\t 4012 ours-ns/address", 4012, 628.1, true, false},
		{"BenchmarkX", 0, 0, false, false},
		{"goos: linux", 0, 0, false, false},
		{"", 0, 0, false, false},
		{"BenchmarkX-2 1 2324 ns/op 628.1 map-ns/address", 0, 0, false, true},
		{"BenchmarkX-2 1 2324 ns/op much map-ns/address", 0, 0, false, true},
		{"BenchmarkX-2 --- FAIL: BenchmarkX-2", 0, 0, false, true},
	} {
		p, ok, err := parseLine(tc.line, "BenchmarkX", "ns/address", m)
		if ok != tc.ok || (err != nil) != tc.fails || p.Ours[m] != tc.ours || p.Baseline[m] != tc.baseline {
			t.Errorf("%q: %+v, %v, %v", tc.line, p, ok, err)
		}
	}
}
