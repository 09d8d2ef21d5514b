package main

import (
	"math/bits"
	"time"
)

// latencies count how long something took, in buckets that get wider with the time:
// 32 for each doubling, so that a quantile is wrong by at most a 32nd, in 15 KiB,
// however many there are. The zero value is empty. It is for one goroutine at a time.
type latencies struct {
	buckets  [bucketCount]uint64
	count    uint64
	min, max time.Duration
}

const (
	perDoubling = 32
	firstBits   = 5 // of perDoubling: below it each microsecond has a bucket
	bucketCount = perDoubling * (64 - firstBits)
)

// add counts one. Less than a microsecond counts as none.
func (l *latencies) add(d time.Duration) {
	if l.count == 0 || d < l.min {
		l.min = d
	}
	l.max = max(l.max, d)
	l.count++
	l.buckets[bucketOf(d)]++
}

// quantile gives the time that a share of all took at most; 0 of none.
func (l *latencies) quantile(share float64) time.Duration {
	rank := uint64(share * float64(l.count))
	if float64(rank) < share*float64(l.count) {
		rank++
	}
	var seen uint64
	for i, n := range l.buckets {
		if seen += n; n > 0 && seen >= rank {
			return min(max(upperEnd(i), l.min), l.max)
		}
	}
	return l.max
}

// bucketOf gives the bucket of a time: the place of its first bit, and the five bits
// behind that.
func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0)) // not negative
	shift := max(bits.Len64(us)-firstBits-1, 0)
	return shift*perDoubling + int(us>>shift) // below 64
}

// upperEnd is the longest time of a bucket.
func upperEnd(i int) time.Duration {
	shift := max(i/perDoubling-1, 0)
	return time.Duration(uint64(i-shift*perDoubling+1)<<shift-1) * time.Microsecond // of a duration
}
