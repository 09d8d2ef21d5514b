package main

import (
	"strings"
	"testing"
	"time"
)

const printed = `File: peerbus
Build ID: 12
Type: cpu
Time: 2026-11-29 01:00:00 UTC
Duration: 3s, Total samples = 1.50s (50.00%)
Showing nodes accounting for 1s, 66.67% of 1.50s total
      flat  flat%   sum%        cum   cum%
     0.80s 53.33% 53.33%      0.80s 53.33%  runtime.futex
`

func TestTops(t *testing.T) {
	bus := topOf("bus-alice", printed)
	if bus.seconds != 1.5 || bus.used != "1.50s (50.00%)" || strings.Contains(bus.text, "Showing") || !strings.Contains(bus.text, "runtime.futex\n") {
		t.Errorf("%+v", bus)
	}
	if odd := topOf("odd", "nothing"); odd.text != "nothing" || odd.seconds != 0 {
		t.Errorf("%+v", odd)
	}
	var b strings.Builder
	err := writeTexts(&b, "p2p-64", time.Now(), []top{topOf("odd", "nothing\n"), bus})
	if text := b.String(); err != nil || !strings.HasPrefix(text, "p2p-64: CPU") || strings.Index(text, "bus-alice") > strings.Index(text, "odd") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestThereMustBeProfiles(t *testing.T) {
	if err := writeTops(t.Context(), t.TempDir(), "p2p-64", "nowhere"); err == nil || !strings.Contains(err.Error(), "no profiles") {
		t.Error(err)
	}
}
