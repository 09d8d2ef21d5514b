package report

import (
	"strings"
	"testing"
	"time"
)

const printedCPU = `File: peerbus
Build ID: 12
Type: cpu
Time: 2026-11-29 01:00:00 UTC
Duration: 3s, Total samples = 1.50s (50.00%)
Showing nodes accounting for 1s, 66.67% of 1.50s total
Showing top 1 nodes out of 200
      flat  flat%   sum%        cum   cum%
     0.80s 53.33% 53.33%      0.80s 53.33%  google.golang.org/grpc.(*Stream[go.shape.12,go.shape.13]).Recv
`

const printedHeap = `File: peerbus
Type: inuse_space
Showing nodes accounting for 10MB, 66.67% of 15MB total
      flat  flat%   sum%        cum   cum%
      10MB 66.67% 66.67%       10MB 66.67%  bytes.growSlice
`

func TestTops(t *testing.T) {
	heap, bus := TopOf("bus, memory", printedHeap, printedHeap), TopOf("bus", printedCPU, printedCPU)
	if bus.took != 1500*time.Millisecond || bus.used != "1.50s (50.00%)" || heap.took != 0 || heap.used != "15MB" {
		t.Errorf("%+v, %+v", bus, heap)
	}
	little := TopOf("registry", strings.ReplaceAll(printedCPU, "1.50s (50.00%)", "10ms ( 0.30%)"), printedCPU)
	all := Tops{Case: "p2p-64", Note: "commit 1234", Machine: sample().Machine, All: []Top{heap, little, bus}}
	var b strings.Builder
	if err := all.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"p2p-64: CPU", "\ncommit 1234\n", "registry             10ms", "bus, by what", "grpc.(*Stream[…]).Recv\n", "bytes.growSlice\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	for _, not := range []string{"registry, by what", "File:", "Build ID", "Showing", "shape"} {
		if strings.Contains(text, not) {
			t.Errorf("there is %q in\n%s", not, text)
		}
	}
	if strings.Index(text, "bus, by what") > strings.Index(text, "bus, memory, by what") {
		t.Errorf("who uses the most is not the first:\n%s", text)
	}
}
