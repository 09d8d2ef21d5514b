package p2pstub

import (
	goruntime "runtime"
	"testing"
)

// While a turn waits, all that is signalled waits for it together.
func TestSignalsShareATurn(t *testing.T) {
	u := newPulse(&peer{stub: &Stub{limits: DefaultLimits()}}, true, nil)
	before := goruntime.NumGoroutine()
	u.turning.Lock()
	for range 20_000 {
		u.signal()
		goruntime.Gosched()
	}
	if n := goruntime.NumGoroutine() - before; n > 100 {
		t.Errorf("%d goroutines wait for a turn", n)
	}
	u.over = true
	u.turning.Unlock()
	soon(t, "a turn is left", func() bool { return goruntime.NumGoroutine() <= before })
}
