package flow

import "time"

// trips are the round trips of messages of a kind that were sent once (Karn): what
// they take now (RFC 6298), and the least that they took lately. What is between
// the two is queued on the path.
type trips struct {
	smoothed, variance time.Duration // 0: none yet
	// least of the period that began at since, and of the one before; 0: none.
	least, before time.Duration
	since, latest time.Duration
}

// lately is a period, and after how long without a round trip the queue is not
// known any more.
const lately = 15 * time.Second

func (p *trips) measured(at, trip time.Duration) {
	trip = max(trip, 1)
	if at-p.since > lately {
		p.before, p.least, p.since = p.least, 0, at
	}
	if p.least == 0 || trip < p.least {
		p.least = trip
	}
	p.latest = at
	if p.smoothed == 0 {
		p.smoothed, p.variance = trip, trip/2
		return
	}
	p.variance += ((trip - p.smoothed).Abs() - p.variance) / 4
	p.smoothed += (trip - p.smoothed) / 8
}

// floor is the least round trip seen lately.
func (p *trips) floor() time.Duration {
	if p.before > 0 {
		return min(p.least, p.before)
	}
	return p.least
}

// queue is how long messages are queued on the path, as far as that is known.
func (p *trips) queue(at time.Duration) time.Duration {
	if p.least == 0 || at-p.latest > lately {
		return 0
	}
	return p.smoothed - p.floor()
}

// forget forgets the least, as the path is another one.
func (p *trips) forget() { p.least, p.before = 0, 0 }
