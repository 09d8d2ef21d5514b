package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Times of a schedule: some 200 faults in ten minutes.
const (
	shortestFault = 500 * time.Millisecond
	longestFault  = 3500 * time.Millisecond
	shortestPause = 100 * time.Millisecond
	longestPause  = time.Second
	// overlapping is the part of faults that begin while the one before lasts.
	overlapping = 0.35
)

// planned is one fault of a schedule.
type planned struct {
	Fault int           // index of its kind
	At    time.Duration // from the beginning of the schedule
	Lasts time.Duration
}

func (p planned) end() time.Duration { return p.At + p.Lasts }

// schedule deals faults in random order for a time: all kinds before one comes
// again. targets has, by kind, what a fault of it works on; two that share a
// target never overlap. The same seed gives the same schedule, and a longer one
// begins like a shorter one.
func schedule(seed uint64, lasts time.Duration, targets [][]string) []planned {
	if len(targets) == 0 {
		return nil
	}
	d := &dealer{random: rand.New(rand.NewPCG(seed, 1)), targets: targets}
	var out []planned
	for {
		next := d.next(out)
		if next.end() > lasts {
			return out
		}
		out = append(out, next)
	}
}

// dealer draws one fault after the other.
type dealer struct {
	random  *rand.Rand
	targets [][]string
	deck    []int
}

func (d *dealer) next(before []planned) planned {
	if len(d.deck) == 0 {
		d.deck = d.random.Perm(len(d.targets))
	}
	p := planned{Fault: d.deck[0], Lasts: d.between(shortestFault, longestFault)}
	d.deck = d.deck[1:]
	pause, overlap := d.between(shortestPause, longestPause), d.random.Float64()
	if len(before) == 0 {
		p.At = pause
		return p
	}
	last := before[len(before)-1]
	free := lastEnd(before)
	p.At = free + pause
	// At most two at a time: the one before the last must be over.
	if overlap < overlapping && free == last.end() && !d.conflict(p.Fault, last.Fault) {
		p.At = max(last.At+time.Duration(overlap/overlapping*float64(last.Lasts)), lastEnd(before[:len(before)-1]))
	}
	return p
}

func lastEnd(all []planned) time.Duration {
	var end time.Duration
	for _, p := range all {
		end = max(end, p.end())
	}
	return end
}

func (d *dealer) conflict(a, b int) bool {
	return slices.ContainsFunc(d.targets[a], func(t string) bool { return slices.Contains(d.targets[b], t) })
}

func (d *dealer) between(low, high time.Duration) time.Duration {
	return low + time.Duration(d.random.Int64N(int64(high-low)))
}
