package drive

import (
	"testing"
	"time"
)

func TestAllLive(t *testing.T) {
	const number = 10
	for _, tc := range []struct {
		live []int // second after second
		at   time.Duration
		all  bool
	}{
		{[]int{10, 10}, 0, true},
		{[]int{10, 10, 4, 0, 9, 10, 10}, 5 * time.Second, true},
		{[]int{10, 9, 10, 9, 10}, 4 * time.Second, true},
		{[]int{10, 10, 9}, 0, false},
		{[]int{0}, 0, false},
	} {
		at, all := allLive(secondly(tc.live), number)
		if all != tc.all || all && at != tc.at {
			t.Errorf("%d: %s, %t", tc.live, at, all)
		}
	}
}

func TestLiveAt(t *testing.T) {
	counts := secondly([]int{10, 7, 8})
	for at, want := range map[time.Duration]int{0: 10, time.Second: 7, 1500 * time.Millisecond: 8, time.Minute: 8} {
		if got := liveAt(counts, at); got != want {
			t.Errorf("%s: %d", at, got)
		}
	}
}

func secondly(live []int) (counts []count) {
	for i, n := range live {
		counts = append(counts, count{time.Duration(i) * time.Second, n})
	}
	return counts
}
