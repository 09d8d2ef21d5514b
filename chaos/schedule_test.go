package main

import (
	"reflect"
	"testing"
	"time"
)

// some kinds of faults: the last works on what two others work on.
var testTargets = [][]string{{"a"}, {"a"}, {"b"}, {"c"}, {"link"}, {"link"}, {"link", "b"}}

func TestScheduleIsDecidedByItsSeed(t *testing.T) {
	one, again, other := schedule(7, time.Minute, testTargets), schedule(7, time.Minute, testTargets), schedule(8, time.Minute, testTargets)
	if !reflect.DeepEqual(one, again) {
		t.Errorf("the same seed gave %v and %v", one, again)
	}
	if reflect.DeepEqual(one, other) {
		t.Errorf("two seeds gave the same %v", one)
	}
	longer := schedule(7, 2*time.Minute, testTargets)
	if len(longer) <= len(one) || !reflect.DeepEqual(one, longer[:len(one)]) {
		t.Errorf("twice as long, it does not begin the same: %v", longer)
	}
}

func TestScheduleHasEveryFaultEquallyOften(t *testing.T) {
	times := make([]int, len(testTargets))
	plan := schedule(3, 10*time.Minute, testTargets)
	for _, p := range plan {
		times[p.Fault]++
	}
	for fault, n := range times {
		if least := len(plan) / len(testTargets); n < least || n > least+1 {
			t.Errorf("fault %d is there %d times of %d", fault, n, len(plan))
		}
	}
}

func TestScheduleOfTenMinutesHasTwoHundredFaults(t *testing.T) {
	for seed := range uint64(20) {
		plan := schedule(seed, 10*time.Minute, testTargets)
		if len(plan) < 200 {
			t.Errorf("seed %d has %d", seed, len(plan))
		}
		if overlaps := checkPlan(t, plan); overlaps < len(plan)/20 {
			t.Errorf("seed %d has %d overlaps among %d", seed, overlaps, len(plan))
		}
	}
}

// checkPlan checks the times, and counts overlaps.
func checkPlan(t *testing.T, plan []planned) (overlaps int) {
	t.Helper()
	d := &dealer{targets: testTargets}
	for i, p := range plan {
		if p.Lasts < shortestFault || p.Lasts >= longestFault || p.end() > 10*time.Minute {
			t.Errorf("%d: %v", i, p)
		}
		atOnce := 0
		for _, q := range plan[:i] {
			if q.end() <= p.At {
				continue
			}
			atOnce++
			if d.conflict(p.Fault, q.Fault) {
				t.Errorf("%v and %v overlap and work on the same", q, p)
			}
		}
		if atOnce > 1 {
			t.Errorf("%d: %d others last still", i, atOnce)
		}
		overlaps += atOnce
	}
	return overlaps
}

func TestScheduleOfNothing(t *testing.T) {
	if plan := schedule(1, time.Minute, nil); plan != nil {
		t.Errorf("%v", plan)
	}
	if plan := schedule(1, 0, testTargets); plan != nil {
		t.Errorf("%v", plan)
	}
}
