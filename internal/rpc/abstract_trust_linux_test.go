package rpc

import "testing"

func TestWhoIsTrusted(t *testing.T) {
	for _, c := range []struct {
		uid, own int
		want     bool
	}{
		{1000, 1000, true}, {0, 1000, true}, {0, 0, true}, {1000, 0, false}, {1001, 1000, false},
		{overflowUID, overflowUID, false}, {overflowUID, 0, false}, // it may be anybody
	} {
		if got := isTrusted(c.uid, c.own); got != c.want {
			t.Errorf("a socket of %d, by %d: %v", c.uid, c.own, got)
		}
	}
}
