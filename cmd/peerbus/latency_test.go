package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	var none latencies
	if none.quantile(0.5) != 0 {
		t.Error("none has a median")
	}
	random := rand.New(rand.NewPCG(1, 2))
	var l latencies
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(random.Float64()*14)) * time.Microsecond
		all = append(all, d)
		l.add(d)
	}
	slices.Sort(all)
	for _, share := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(math.Ceil(share*float64(len(all))))-1, 0)]
		got := l.quantile(share)
		if got < want || float64(got-want) > float64(want)/perDoubling {
			t.Errorf("quantile %v is %v, want %v", share, got, want)
		}
	}
	if l.min != all[0] || l.max != all[len(all)-1] || l.count != 10_000 {
		t.Errorf("least %v, most %v, %d", l.min, l.max, l.count)
	}
}

// Every time has a bucket, and the buckets follow one another without a gap.
func TestBuckets(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, 1, time.Microsecond, time.Hour, 1e6 * time.Hour} {
		i := bucketOf(d)
		if i < 0 || i >= bucketCount || d.Microseconds() > upperEnd(i).Microseconds() {
			t.Errorf("%v is in bucket %d, which ends at %v", d, i, upperEnd(i))
		}
	}
	if i := bucketOf(math.MaxInt64); i >= bucketCount {
		t.Errorf("the longest time is in bucket %d of %d", i, bucketCount)
	}
	for i := range bucketOf(24 * time.Hour) {
		if end := upperEnd(i); bucketOf(end) != i || bucketOf(end+time.Microsecond) != i+1 {
			t.Fatalf("bucket %d ends at %v", i, end)
		}
	}
}
