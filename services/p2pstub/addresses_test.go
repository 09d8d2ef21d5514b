package p2pstub

import "testing"

func TestAddressesAreAskedForAhead(t *testing.T) {
	for _, c := range []struct{ pool, ready, waiting, want int }{
		{2, 0, 0, 2}, {2, 1, 0, 1}, {2, 2, 0, 0}, {2, 0, 1, 3}, {2, 0, 50, 52},
		{2, 0, 5000, 500}, // more than a Message Node allocates at once
		{8, 5, 0, 0}, {8, 4, 0, 4}, {8, 9, 0, 0},
	} {
		a := &addresses{limits: Limits{Pool: c.pool}.orDefaults(), ready: make([]objectAddress, c.ready), waiting: c.waiting}
		if got := a.wanted(); got != c.want {
			t.Errorf("%+v: %d are asked for", c, got)
		}
	}
}
