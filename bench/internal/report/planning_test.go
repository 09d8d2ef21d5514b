package report

import (
	"strings"
	"testing"

	"github.com/peerbus/peerbus/bench/internal/round"
)

func TestPlanning(t *testing.T) {
	idle := round.Sample{{Name: "CPU, idle", Unit: "µs/s/connection"}: 80, {Name: "resident memory", Unit: "KiB/connection"}: 256}
	r := &Report{Machine: sample().Machine, Results: []Result{
		{Name: "p2p-64", Rows: round.Rows([]round.Pair{{Ours: round.Sample{perMessage: 20}}}, nil)},
		{Name: "p2p-idle", Rows: round.Rows([]round.Pair{{Ours: idle}}, nil)},
		{Name: "set-up", Error: "it stands"},
	}}
	var b strings.Builder
	if err := r.WritePlanning(&b, "x/bench.json"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Medians of [bench.json](bench.json).\n\n| what",
		"| message of 64 B over a data channel | 20 µs |  | 2 % |  | p2p-64 |\n",
		"| connection at rest, in a p2pstub | 80 µs a second | 256 KiB | 8 % | 250 MiB | p2p-idle |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("there is no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "set-up") || strings.Contains(b.String(), "1 KiB") {
		t.Errorf("what was not measured is in\n%s", b.String())
	}
}

// Each size is of a metric whose unit is known.
func TestUnitsOfSizes(t *testing.T) {
	for _, s := range sizes {
		cpu, _, _ := strings.Cut(s.cpu.Unit, "/")
		memory, _, _ := strings.Cut(s.memory.Unit, "/")
		if s.cpu != none && inMicros[cpu] == 0 || s.memory != none && inBytes[memory] == 0 || s.cpu == none && s.memory == none {
			t.Errorf("%+v", s)
		}
	}
}

// A short run says so, and a link is there for the file it leads to alone.
func TestPlanningOfAnotherRun(t *testing.T) {
	for _, from := range []string{"", "x/other.json"} {
		var b strings.Builder
		if err := (&Report{Short: true}).WritePlanning(&b, from); err != nil || !strings.Contains(b.String(), nothing) || strings.Contains(b.String(), "](") {
			t.Errorf("%q: %v\n%s", from, err, b.String())
		}
	}
}
